//! The cluster image of one worker thread, asked for again when a leader turns out to have moved or gone.
//!
//! Lives on a worker thread, shared by its tasks. Invariant: `version` rises with every image that differs from the one before.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::cluster::{self, Image, Topic};
use super::identity::PartitionKey;
use crate::base::BrokerId;

/// Between two questions to a broker, however many tasks ask for them.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub struct LiveCluster {
    pub topics: Arc<Vec<Topic>>,
    /// The run's partitions, in the order of the image's leaders.
    pub keys: Vec<PartitionKey>,
    bootstrap: Vec<String>,
    image: RefCell<Rc<Image>>,
    version: Cell<u64>,
    changed: Notify,
    wanted: Notify,
}

impl LiveCluster {
    pub fn new(topics: Arc<Vec<Topic>>, image: Image, bootstrap: Vec<String>) -> LiveCluster {
        LiveCluster {
            keys: cluster::partitions(&topics),
            topics,
            bootstrap,
            image: RefCell::new(Rc::new(image)),
            version: Cell::new(0),
            changed: Notify::new(),
            wanted: Notify::new(),
        }
    }

    pub fn image(&self) -> Rc<Image> {
        self.image.borrow().clone()
    }

    pub fn version(&self) -> u64 {
        self.version.get()
    }

    /// The leader of the run's `index`-th partition.
    pub fn leader(&self, index: usize) -> Option<BrokerId> {
        self.image.borrow().leaders[index]
    }

    /// Resolves when the image changes after this call.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Asks for a new image, soon.
    pub fn refresh(&self) {
        self.wanted.notify_one();
    }

    /// Fetches images as they are wanted. Never returns.
    pub async fn keep_fresh(&self) {
        loop {
            self.wanted.notified().await;
            let image = self.image();
            let addresses: Vec<String> = image.brokers.values().chain(&self.bootstrap).cloned().collect();
            match self.fetch(&addresses).await {
                Some(fresh) if fresh == *image => {}
                Some(fresh) => {
                    self.image.replace(Rc::new(fresh));
                    self.version.set(self.version.get() + 1);
                    self.changed.notify_waiters();
                }
                // Nobody answered: whoever asked still has no leader.
                None => self.wanted.notify_one(),
            }
            tokio::time::sleep(REFRESH_PAUSE).await;
        }
    }

    async fn fetch(&self, addresses: &[String]) -> Option<Image> {
        let mut connection = cluster::connect_any(addresses).await.ok()?;
        cluster::image(&mut connection, &self.topics).await.ok()
    }
}
