//! The signals that the broker obeys: SIGUSR1 shows the histograms; SIGTERM and SIGINT show them and stop it.
//!
//! Lives on the control thread.

use std::io;

use tokio::signal::unix::{self, SignalKind};
use tokio::task::JoinHandle;

use crate::shard::CounterValues;
use crate::shard::histograms::StageSnapshot;

type Shown = Vec<(StageSnapshot, CounterValues)>;

pub enum Signal {
    Stop,
    ShowHistograms,
    /// The histograms are here; `and_stop` if they are the last.
    HistogramsReady {
        shown: Shown,
        and_stop: bool,
    },
}

pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    user: unix::Signal,
    collecting: Option<(JoinHandle<Shown>, bool)>,
}

impl Signals {
    /// Takes the signals over from the default actions. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The host's.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            user: unix::signal(SignalKind::user_defined1())?,
            collecting: None,
        })
    }

    pub(super) fn shown_when_ready(&mut self, collecting: JoinHandle<Shown>, and_stop: bool) {
        let and_stop = and_stop || self.collecting.as_ref().is_some_and(|(_, and_stop)| *and_stop);
        self.collecting = Some((collecting, and_stop));
    }

    /// The next signal. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        let collected = async {
            match &mut self.collecting {
                Some((collecting, and_stop)) => (collecting.await, *and_stop),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.user.recv() => Signal::ShowHistograms,
            (shown, and_stop) = collected => {
                self.collecting = None;
                Signal::HistogramsReady { shown: shown.expect("collecting does not panic"), and_stop }
            }
        }
    }
}
