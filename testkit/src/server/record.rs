use std::collections::VecDeque;
use std::sync::Arc;

use super::Request;

const MAX_REQUESTS: usize = 4096;
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The latest requests, bounded in number and in the bytes of their bodies; the oldest go first.
#[derive(Debug, Default)]
pub(super) struct Record {
    requests: VecDeque<Arc<Request>>,
    body_bytes: usize,
}

impl Record {
    pub(super) fn push(&mut self, request: Arc<Request>) {
        self.body_bytes += request.body.len();
        self.requests.push_back(request);
        while self.requests.len() > MAX_REQUESTS || self.body_bytes > MAX_BODY_BYTES {
            let Some(oldest) = self.requests.pop_front() else { break };
            self.body_bytes -= oldest.body.len();
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Request>> {
        self.requests.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(connection: u64, body: usize) -> Arc<Request> {
        Arc::new(Request {
            connection,
            server_name: None,
            arrived: tokio::time::Instant::now().into_std(),
            method: "POST".into(),
            target: "/".into(),
            minor_version: 1,
            headers: Vec::new(),
            body: Bytes::from(vec![0; body]),
        })
    }

    fn kept(record: &Record) -> Vec<u64> {
        record.all().iter().map(|request| request.connection).collect()
    }

    #[test]
    fn the_oldest_go_by_number_and_by_bytes() {
        let mut record = Record::default();
        (1..=MAX_REQUESTS as u64 + 2).for_each(|n| record.push(request(n, 0)));
        assert_eq!(kept(&record).first(), Some(&3));

        record.push(request(7001, MAX_BODY_BYTES / 2 + 1));
        record.push(request(7002, MAX_BODY_BYTES / 2));
        assert_eq!(kept(&record), [7002], "7001 and all before it were to go");
    }
}
