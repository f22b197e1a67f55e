//! Ctrl-C: the first one ends what is due, so that what is under way can still be counted; the second one ends the program.
//!
//! Main thread.

/// Whether somebody wants the end.
#[derive(Debug)]
pub struct Interrupt {
    signals: tokio::signal::unix::Signal,
    has_come: bool,
}

impl Interrupt {
    /// From here on SIGINT no longer ends the program at once.
    ///
    /// # Errors
    /// The host's.
    pub fn listen() -> std::io::Result<Interrupt> {
        Ok(Interrupt { signals: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?, has_come: false })
    }

    pub fn has_come(&self) -> bool {
        self.has_come
    }

    /// Waits for the first one.
    pub async fn comes(&mut self) {
        if self.signals.recv().await.is_none() {
            return std::future::pending().await;
        }
        self.has_come = true;
        // The next one takes the short way.
        let mut signals = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()) {
            Ok(signals) => signals,
            Err(_) => return,
        };
        tokio::spawn(async move {
            signals.recv().await;
            std::process::exit(130);
        });
    }
}
