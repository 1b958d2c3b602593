use std::future::Future;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::End;
use super::plan::{Direction, Plan};
use super::pump::{Ended, Line, pump};
use super::random::Random;
use super::stats::State;

/// Counts a connection as open for as long as its sockets are.
struct Open {
    id: u64,
    state: watch::Sender<State>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.send_modify(|state| {
            state.open.remove(&self.id);
            state.stats.open -= 1;
        });
    }
}

/// Carries one connection to its end.
pub(super) async fn carry(
    mut client: TcpStream,
    id: u64,
    target: SocketAddr,
    plan: watch::Receiver<Plan>,
    state: watch::Sender<State>,
) {
    // Declared first, hence dropped last: no test sees the count fall before the sockets are closed.
    let _open = Open { id, state: state.clone() };
    let mut orders = plan.clone();
    let reset = async { drop(orders.wait_for(|plan| id <= plan.reset_up_to || plan.resets_new).await) };
    tokio::pin!(reset);

    let connected = tokio::select! {
        biased;
        () = &mut reset => return end(client, End::Reset).await,
        connected = TcpStream::connect(target) => connected,
    };
    let Ok(mut server) = connected else {
        state.send_modify(|state| state.stats.unreachable += 1);
        return end(client, End::Reset).await;
    };
    for socket in [&client, &server] {
        // Slices must leave as they are written. A socket that refuses is already gone, which the first read tells.
        let _ = socket.set_nodelay(true);
    }
    let seed = plan.borrow().seed;
    let line = |direction| Line { direction, plan: plan.clone(), state: state.clone() };
    let (there, back) = (line(Direction::ToServer), line(Direction::ToClient));
    let how = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = pump(&there, Random::of(seed, id, 0), from_client, to_server);
        let back = pump(&back, Random::of(seed, id, 1), from_server, to_client);
        tokio::select! {
            biased;
            () = &mut reset => End::Reset,
            how = both(there, back) => how,
        }
    };
    end(client, how).await;
    end(server, how).await;
}

/// Until one direction ends the connection, or both have ended.
async fn both(there: impl Future<Output = Ended>, back: impl Future<Output = Ended>) -> End {
    let over = |ended| match ended {
        Ended::Over(how) => Err(how),
        Ended::Finished | Ended::Lost => Ok(()),
    };
    match tokio::try_join!(async { over(there.await) }, async { over(back.await) }) {
        Ok(_) => End::Close,
        Err(how) => how,
    }
}

async fn end(mut socket: TcpStream, how: End) {
    // Either fails only on a socket that the peer has already ended.
    let _ = match how {
        // Closing alone would send a reset where bytes lie unread; so the FIN goes first.
        End::Close => socket.shutdown().await,
        End::Reset => socket.set_zero_linger(),
    };
}
