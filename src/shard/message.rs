//! What cores and the control thread send each other.
//!
//! A message crosses threads once, by value, over the mesh. Work for a core is a closure that the core runs at the end of a
//! turn (Seastar's `submit_to`): it must be short and must not block. Work for the control thread is named, because that
//! thread orders it.

use std::any::Any;
use std::rc::Rc;

use crate::base::CoreId;
use crate::cluster::controller::Command;
use crate::shard::Shard;
use crate::shard::calls::CallId;
use crate::shard::partition::PartitionKey;

/// An answer on its way to the core that asked; the asker knows its type.
pub type Answer = Box<dyn Any + Send>;

/// Something a core does for somebody else.
pub type CoreWork = Box<dyn FnOnce(&Rc<Shard>) + Send>;

pub enum Message {
    /// For a core: run this.
    Run(CoreWork),
    /// For the control thread.
    Control(ControlRequest),
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug)]
pub struct ReplyTo {
    pub core: CoreId,
    pub call: CallId,
}

impl ReplyTo {
    /// The message that carries `answer` home.
    pub fn message(self, answer: Answer) -> Message {
        Message::Run(Box::new(move |shard| shard.calls.complete(self.call, answer)))
    }
}

/// The data directory and the file system below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Absolute.
    pub path: String,
    pub total_bytes: u64,
    /// What is left for files of this user.
    pub usable_bytes: u64,
}

pub enum ControlRequest {
    /// Change the cluster's metadata. The answer is a `Result<controller::Answer, controller::Refusal>` and leaves only when
    /// the change is stored and every core has it.
    Change { command: Command, reply: ReplyTo },
    /// Do blocking work on a helper thread. Work of one `order` is done in the order in which it was sent.
    Offload { order: u64, work: Box<dyn FnOnce() -> Answer + Send>, reply: ReplyTo },
    /// Write down where each log starts. The answer is a `Result<(), ErrorCode>` and leaves when every log start of this moment is on the disk.
    CheckpointLogStarts { reply: ReplyTo },
    /// Look at the data directory. The answer is a `Result<LogDir, ErrorCode>`.
    DescribeLogDir { reply: ReplyTo },
    /// Somebody waits for a partition that is not open yet.
    OpenNow(PartitionKey),
    /// The answer to a question of the control thread.
    Answered { question: u64, answer: Answer },
    /// The core has closed its connections: it asks other cores for nothing more, and still answers them.
    ConnectionsClosed,
    /// The core's logs have no work under way, and it has given them back.
    Stopped,
}
