//! A port of the loopback interface that stays ours while nobody listens on it.
//!
//! A test that closes a listener to be refused, and opens it again, must find the port free, and must not be
//! answered by somebody else in between: ports given by the system are also what it gives to outgoing connections,
//! and one that connects to a port may even be given that very port and end up talking to itself. So one socket is
//! bound for as long as the port is wanted and never listens; listeners are bound beside it, by SO_REUSEPORT.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

#[derive(Debug)]
pub(crate) struct Port {
    addr: SocketAddr,
    _reserved: TcpSocket,
}

impl Port {
    pub(crate) fn reserve() -> io::Result<Self> {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { addr: socket.local_addr()?, _reserved: socket })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens until the listener is dropped; to be called where a reactor is.
    pub(crate) fn listen(&self, backlog: u32) -> io::Result<Listener> {
        bind(self.addr)?.listen(backlog).map(Listener)
    }
}

/// A listener that is deaf once it is dropped.
///
/// Closing is not enough: while another thread starts a child process, the child holds a copy of every descriptor
/// until it executes its program, and the copy goes on listening. Shutting down reaches the socket itself.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) async fn accept(&self) -> io::Result<TcpStream> {
        self.0.accept().await.map(|(stream, _)| stream)
    }

    /// Accepts one whose handshake the system has completed, if there is one.
    pub(crate) fn accept_waiting(&self) -> Option<TcpStream> {
        // Asked directly: the reactor may not have heard of it yet.
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = accept_with(&self.0, flags).ok()?;
        TcpStream::from_std(socket.into()).ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Fails only if nothing listens any more.
        let _ = shutdown(&self.0, Shutdown::Read);
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn refuses_unless_listening_and_keeps_its_number() {
        let port = Port::reserve().unwrap();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.addr()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = port.listen(16).unwrap();
            let (client, accepted) = tokio::join!(TcpStream::connect(port.addr()), listener.accept());
            let _ = (client.unwrap(), accepted.unwrap());
        }
    }
}
