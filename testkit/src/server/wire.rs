//! One connection as bytes: TCP or TLS, buffered for reading, counted both ways.

use std::io;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

use super::ServerStats;

const READ_BYTES: usize = 16 * 1024;

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(super) struct Wire {
    stream: Stream,
    pub(super) buffer: BytesMut,
    /// When the oldest byte of the buffer came.
    pub(super) first_byte: Instant,
    stats: watch::Sender<ServerStats>,
}

impl Wire {
    pub(super) fn new(stream: Stream, stats: watch::Sender<ServerStats>) -> Self {
        Self { stream, buffer: BytesMut::new(), first_byte: now(), stats }
    }

    /// The host named in the TLS handshake.
    pub(super) fn server_name(&self) -> Option<String> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.get_ref().1.server_name().map(str::to_owned),
        }
    }

    /// Reads more into the buffer.
    ///
    /// # Errors
    /// `UnexpectedEof` at the end of the stream, else what the socket says.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        let was_empty = self.buffer.is_empty();
        self.buffer.reserve(READ_BYTES);
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.buffer).await?,
            Stream::Tls(stream) => stream.read_buf(&mut self.buffer).await?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if was_empty {
            self.first_byte = now();
        }
        self.stats.send_modify(|stats| stats.bytes_read += read as u64);
        Ok(())
    }

    /// Takes so many bytes off the front of what has been read.
    pub(super) fn take(&mut self, bytes: usize) -> Bytes {
        self.buffer.split_to(bytes).freeze()
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Counted before the client can have them, so that it never has more than is counted; taken back on failure.
        self.stats.send_modify(|stats| stats.bytes_written += bytes.len() as u64);
        let written = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => match stream.write_all(bytes).await {
                Ok(()) => stream.flush().await,
                failed => failed,
            },
        };
        if written.is_err() {
            self.stats.send_modify(|stats| stats.bytes_written -= bytes.len() as u64);
        }
        written
    }

    /// Ends the writing side: TLS's goodbye, then FIN.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.shutdown().await,
            Stream::Tls(stream) => stream.shutdown().await,
        }
    }

    /// Makes the closing of the socket a reset.
    pub(super) fn reset_on_close(&self) -> io::Result<()> {
        let tcp = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        tcp.set_zero_linger()
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
