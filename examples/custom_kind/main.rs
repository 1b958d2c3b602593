//! A kind of one's own: memcached, in [a hundred and some lines](memcached.rs).
//!
//! ```sh
//! cargo run --example custom_kind
//! ```
//!
//! It starts a memcached of its own on a free port, keeps a value there and reads it back, once over the network and once out
//! of the cache; then it holds the kind to what the policies rely on, killing and freezing the server on the way.

mod memcached;
mod server;

use std::{error::Error, io::Write as _};

use memcached::{Get, Memcached, Set};
use seawall::{Runtime, Service};
use seawall_testkit::{Subject, kind_conformance};
use server::Server;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::start().await;
    let runtime = Runtime::builder()
        .kind::<Memcached>()
        .parse(format!("[services.words]\n{}", server.settings()))?
        .start()
        .await?;
    let words: Service<Memcached> = runtime.service("words")?;
    words.send(Set("greeting".to_owned(), b"hello".to_vec(), 60)).await?;
    for _ in 0..2 {
        let answer = words.send(Get("greeting".to_owned())).await?;
        let value = (*answer).as_deref().map(String::from_utf8_lossy);
        writeln!(std::io::stdout(), "{} ({:?})", value.unwrap_or_default(), answer.origin())?;
    }
    runtime.drain().await;
    kind_conformance(&server).await;
    writeln!(std::io::stdout(), "the kind conforms")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_conforms() {
        actix_rt::System::new().block_on(async { kind_conformance(&Server::start().await).await });
    }

    #[test]
    fn values_come_back_whole_and_keys_stay_words() {
        actix_rt::System::new().block_on(async {
            let server = Server::start().await;
            let settings = format!("[services.words]\ncache = false\n{}", server.settings());
            let runtime = Runtime::builder().kind::<Memcached>().parse(settings).expect("TOML");
            let runtime = runtime.start().await.unwrap_or_else(|error| panic!("{error}"));
            let words: Service<Memcached> = runtime.service("words").expect("there");
            let odd = b"\r\nEND\r\nVALUE other 0 1\r\n\0".to_vec();
            for value in [Vec::new(), odd, vec![7; 512 * 1024]] {
                words.send(Set("key".to_owned(), value.clone(), 60)).await.expect("stored");
                let answer = words.send(Get("key".to_owned())).await.expect("there");
                assert_eq!(answer.into_inner(), Some(value));
            }
            assert_eq!(words.send(Get("other".to_owned())).await.expect("none").into_inner(), None);
            for key in ["", "two words", "a\r\nflush_all", &"k".repeat(251)] {
                let error = words.send(Get(key.to_owned())).await.expect_err("refused");
                assert!(format!("{error:?}").contains("visible ASCII"), "{error:?}");
            }
            let large = words.send(Set("key".to_owned(), vec![0; 2 << 20], 60)).await.expect_err("too large");
            assert!(large.failure().is_some(), "{large}");
            runtime.drain().await;
        });
    }
}
