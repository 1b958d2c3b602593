use seawall::{Failure, downstream::TierNews};

use super::keys;
use crate::Listener;

/// Passes on what tracking tells.
pub(super) struct Heard {
    prefix: String,
    news: TierNews,
}

impl Heard {
    pub(super) fn new(namespace: &str, news: TierNews) -> Self {
        Self { prefix: keys::news_of(namespace), news }
    }
}

impl Listener for Heard {
    fn connected(&self) {
        self.news.connected();
    }

    fn renewed(&self) {
        self.news.renewed();
    }

    fn changed(&self, key: &[u8]) {
        match keys::read(key, &self.prefix) {
            Some((group, epoch)) => self.news.invalidated(&group, epoch),
            // It may be about anything.
            None => self.news.flushed(),
        }
    }

    fn flushed(&self) {
        self.news.flushed();
    }

    fn lost(&self, _: &Failure) {
        self.news.lost();
    }
}
