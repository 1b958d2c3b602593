//! A server that answers by path.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

#[derive(Clone)]
pub(super) struct Server {
    pub(super) url: String,
    seen: Rc<Seen>,
}

#[derive(Default)]
struct Seen {
    accepted: Cell<usize>,
    open: Cell<usize>,
    requests: Cell<usize>,
    names: RefCell<Vec<Option<String>>>,
    go: Notify,
}

impl Server {
    pub(super) async fn plain() -> Self {
        Self::start(None).await
    }

    pub(super) async fn tls(config: rustls::ServerConfig) -> Self {
        Self::start(Some(Arc::new(config).into())).await
    }

    async fn start(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = if tls.is_some() {
            format!("https://localhost:{port}")
        } else {
            format!("http://127.0.0.1:{port}")
        };
        let seen = Rc::new(Seen::default());
        let server = Self { url, seen: seen.clone() };
        actix_rt::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                actix_rt::spawn(seen.clone().take(socket, tls.clone()));
            }
        });
        server
    }

    pub(super) fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap()
    }

    /// Connections accepted so far.
    pub(super) fn accepted(&self) -> usize {
        self.seen.accepted.get()
    }

    /// Connections that neither side has closed.
    pub(super) fn open(&self) -> usize {
        self.seen.open.get()
    }

    /// Requests that arrived, decrypted.
    pub(super) fn requests(&self) -> usize {
        self.seen.requests.get()
    }

    /// The names that clients asked for in TLS.
    pub(super) fn names(&self) -> Vec<Option<String>> {
        self.seen.names.borrow().clone()
    }

    /// Lets those that wait at `/wait` and `/half` go on, and closes what waits at `/ok-then-close`.
    pub(super) fn go(&self) {
        self.seen.go.notify_waiters();
    }
}

impl Seen {
    async fn take(self: Rc<Self>, socket: TcpStream, tls: Option<tokio_rustls::TlsAcceptor>) {
        self.accepted.set(self.accepted.get() + 1);
        self.open.set(self.open.get() + 1);
        match tls {
            None => self.serve(socket).await,
            Some(tls) => {
                if let Ok(stream) = tls.accept(socket).await {
                    self.names.borrow_mut().push(stream.get_ref().1.server_name().map(str::to_owned));
                    self.serve(stream).await;
                }
            }
        }
        self.open.set(self.open.get() - 1);
    }

    async fn serve(&self, mut socket: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = Vec::new();
        loop {
            request.clear();
            while !request.ends_with(b"\r\n\r\n") {
                match socket.read_buf(&mut request).await {
                    Ok(read) if read > 0 => {}
                    _ => return,
                }
            }
            self.requests.set(self.requests.get() + 1);
            let head = String::from_utf8_lossy(&request).into_owned();
            match head.split(' ').nth(1) {
                Some("/wait") => self.go.notified().await,
                Some("/half") => {
                    say(&mut socket, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfi").await;
                    self.go.notified().await;
                    say(&mut socket, "ne").await;
                    continue;
                }
                Some("/host") => {
                    let host = head.lines().find(|line| line.to_ascii_lowercase().starts_with("host:"));
                    let host = host.unwrap_or_default();
                    say(
                        &mut socket,
                        &format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{host}", host.len()),
                    )
                    .await;
                    continue;
                }
                _ => {}
            }
            say(&mut socket, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await;
            if head.contains("/ok-then-close") {
                self.go.notified().await;
                return;
            }
        }
    }
}

async fn say(socket: &mut (impl AsyncWrite + Unpin), text: &str) {
    // Whoever went away does not hear it.
    let _ = socket.write_all(text.as_bytes()).await;
    let _ = socket.flush().await;
}
