//! Reading requests, strictly: what is not HTTP/1 is told apart from a connection that ends.

use std::io;

use bytes::{Bytes, BytesMut};

use super::Request;
use super::wire::Wire;

const MAX_HEAD_BYTES: usize = 256 * 1024;
const MAX_HEADERS: usize = 256;
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;
/// A chunk's size in hex with extensions.
const MAX_CHUNK_LINE_BYTES: usize = 1024;

/// Why a request was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The client went away, between requests or within one.
    Gone,
    /// It is no HTTP/1, or above a limit.
    Malformed(String),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

fn malformed(what: impl Into<String>) -> ReadError {
    ReadError::Malformed(what.into())
}

/// Reads a head; the body of the request is empty.
pub(super) async fn read_head(wire: &mut Wire, connection: u64) -> Result<Request, ReadError> {
    loop {
        if let Some((mut request, bytes)) = parse_head(&wire.buffer, connection)? {
            request.arrived = wire.first_byte;
            request.server_name = wire.server_name();
            wire.take(bytes);
            return Ok(request);
        }
        if wire.buffer.len() >= MAX_HEAD_BYTES {
            return Err(malformed(format!("a head of more than {MAX_HEAD_BYTES} bytes")));
        }
        wire.fill().await?;
    }
}

fn parse_head(buffer: &[u8], connection: u64) -> Result<Option<(Request, usize)>, ReadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let bytes = match head.parse(buffer) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(format!("the head: {error}"))),
    };
    let headers = head
        .headers
        .iter()
        .map(|header| (header.name.to_owned(), Bytes::copy_from_slice(header.value)))
        .collect();
    let request = Request {
        connection,
        server_name: None,
        arrived: tokio::time::Instant::now().into_std(),
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        minor_version: head.version.unwrap_or_default(),
        headers,
        body: Bytes::new(),
    };
    Ok(Some((request, bytes)))
}

/// Reads the body that belongs to this head.
pub(super) async fn read_body(wire: &mut Wire, head: &Request) -> Result<Bytes, ReadError> {
    let chunked =
        head.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    match (chunked, head.header("content-length")) {
        (true, Some(_)) => Err(malformed("content-length and chunks at once")),
        (true, None) => read_chunks(wire).await,
        (false, None) => Ok(Bytes::new()),
        (false, Some(length)) => {
            let bytes = length
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| length.parse::<u64>().ok())
                .flatten()
                .ok_or_else(|| malformed(format!("content-length: {length}")))?;
            read_exact(wire, within_limit(0, bytes)?).await
        }
    }
}

async fn read_chunks(wire: &mut Wire) -> Result<Bytes, ReadError> {
    let mut body = BytesMut::new();
    loop {
        let (line, size) = loop {
            match httparse::parse_chunk_size(&wire.buffer) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) if wire.buffer.len() < MAX_CHUNK_LINE_BYTES => {
                    wire.fill().await?
                }
                Ok(httparse::Status::Partial) | Err(_) => return Err(malformed("the size of a chunk")),
            }
        };
        wire.take(line);
        if size == 0 {
            skip_trailers(wire).await?;
            return Ok(body.freeze());
        }
        let bytes = within_limit(body.len() as u64, size)?;
        body.extend_from_slice(&read_exact(wire, bytes).await?);
        if &read_exact(wire, 2).await?[..] != b"\r\n" {
            return Err(malformed("the end of a chunk"));
        }
    }
}

async fn skip_trailers(wire: &mut Wire) -> Result<(), ReadError> {
    let mut skipped = 0;
    loop {
        while let Some(end) = wire.buffer.windows(2).position(|pair| pair == b"\r\n") {
            wire.take(end + 2);
            if end == 0 {
                return Ok(());
            }
            skipped += end + 2;
        }
        if skipped + wire.buffer.len() > MAX_HEAD_BYTES {
            return Err(malformed(format!("trailers of more than {MAX_HEAD_BYTES} bytes")));
        }
        wire.fill().await?;
    }
}

async fn read_exact(wire: &mut Wire, bytes: usize) -> Result<Bytes, ReadError> {
    while wire.buffer.len() < bytes {
        wire.fill().await?;
    }
    Ok(wire.take(bytes))
}

fn within_limit(have: u64, more: u64) -> Result<usize, ReadError> {
    if have.saturating_add(more) > MAX_BODY_BYTES {
        return Err(malformed(format!("a body of more than {MAX_BODY_BYTES} bytes")));
    }
    usize::try_from(more).map_err(|_| malformed("a body beyond this machine's memory"))
}
