//! From addresses to a TCP connection.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::sleep};

/// How long an address is tried alone before the next one joins: the pace of RFC 8305 ("Happy Eyeballs").
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to whichever address answers first. They are tried in turn, IPv6 and IPv4 by turns, each with a head start
/// over the next, so that one dead address of many costs a quarter of a second and not the whole timeout.
///
/// Nagle's algorithm is off: with it, a request of two writes waits for the delayed acknowledgement of the first.
///
/// # Errors
/// The first address's, when none answers: it is the one that the resolver prefers.
pub(super) async fn dial(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let stream = match addresses {
        [only] => TcpStream::connect(only).await?,
        several => race(by_turns(several)).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut rest = addresses.into_iter().peekable();
    let mut racing = FuturesUnordered::new();
    let mut first_error = None;
    loop {
        if let Some(address) = rest.next() {
            racing.push(TcpStream::connect(address));
        }
        tokio::select! {
            biased;
            Some(arrived) = racing.next() => match arrived {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            },
            () = sleep(HEAD_START), if rest.peek().is_some() => {}
            else => {
                return Err(first_error.unwrap_or_else(|| {
                    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
                }));
            }
        }
    }
}

fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == preferred);
    let mut ordered = Vec::with_capacity(addresses.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return ordered;
        }
        ordered.extend(pair.0);
        ordered.extend(pair.1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn families_take_turns() {
        let [a, b, c] = ["10.0.0.1:1", "10.0.0.2:1", "[::1]:1"].map(|address| address.parse().unwrap());
        assert_eq!(by_turns(&[a, b, c]), [a, c, b]);
        assert_eq!(by_turns(&[c, a, b]), [c, a, b]);
    }

    #[tokio::test]
    async fn a_refusing_address_does_not_keep_from_the_next() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [dead.local_addr().unwrap(), live.local_addr().unwrap()];
        drop(dead);
        let stream = dial(&addresses).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
        assert!(stream.nodelay().unwrap());
        drop(live);
        assert_eq!(dial(&addresses).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
