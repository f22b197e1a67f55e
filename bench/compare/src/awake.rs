//! Processors that never sleep.
//!
//! A virtual processor with nothing to do is given back to its host, and waking it takes as long as the host likes: up to 50 ms while the virtual disk is busy. That is no
//! contestant's doing, and a client would count it as a slow message. So somebody spins there whom the scheduler takes for nothing: SCHED_IDLE, sched(7).

use std::io;
use std::process::{Child, Command, Stdio};

/// Keeps processors awake for as long as this lives.
pub struct Awake {
    spinners: Vec<Child>,
}

impl Awake {
    /// # Errors
    /// `taskset` cannot be run. What else goes wrong is said in the end.
    pub fn keep(processors: &[usize]) -> io::Result<Awake> {
        let mut awake = Awake { spinners: Vec::new() };
        for processor in processors {
            let mut spinner = Command::new("taskset");
            spinner.args(["-c", &processor.to_string(), "chrt", "--idle", "0", "sh", "-c"]);
            // Ends with this program, however that ends.
            spinner.arg("while kill -0 $PPID 2> /dev/null; do :; done");
            awake.spinners.push(spinner.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
        }
        Ok(awake)
    }

    /// # Errors
    /// One of them has ended before: what was measured was measured on processors that slept.
    pub fn end(mut self) -> io::Result<()> {
        for spinner in &mut self.spinners {
            if let Some(status) = spinner.try_wait()? {
                return Err(io::Error::other(format!(
                    "who keeps a processor awake has ended: {status}; taskset and chrt are needed (util-linux)"
                )));
            }
        }
        Ok(())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for spinner in &mut self.spinners {
            // It is gone already, or goes now: taskset and chrt have become the shell.
            let _ = spinner.kill();
            let _ = spinner.wait();
        }
    }
}
