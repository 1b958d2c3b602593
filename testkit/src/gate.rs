//! A gate that a script waits at until the test opens it.
//!
//! For what a wait of fixed length only approximates: "the reply comes once the caller has gone away" is a condition,
//! and a test that sleeps instead is either slow or wrong on a loaded machine.

use std::sync::Arc;

use tokio::sync::watch;

/// A gate, shut at first. Clones are the same gate; it may be opened and shut from any thread, any number of times.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A gate that is shut.
    pub fn shut() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everyone through, those who come later too.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Holds everyone who comes from now on.
    pub fn close(&self) {
        self.0.send_replace(false);
    }

    /// Waits until the gate is open.
    pub async fn passed(&self) {
        // The sender lives in `self`: the channel cannot close under the wait.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn holds_until_opened_and_again_once_shut() {
        let gate = Gate::shut();
        let other = gate.clone();
        let waiting = tokio::spawn(async move { other.passed().await });
        assert!(!waiting.is_finished());
        gate.open();
        waiting.await.unwrap();
        gate.passed().await;

        gate.close();
        tokio::select! {
            biased;
            () = gate.passed() => panic!("passed a shut gate"),
            () = std::future::ready(()) => {}
        }
    }
}
