//! The floor's loop: one thread, one epoll, no timer: a fetch for which there is nothing waits until there is something.
//!
//! Runs until its process is ended. Invariants: a connection is asked about writability only while it has something to send; `waiting` names each
//! connection once.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::append_file::AppendFile;
use crate::connection::{Connection, Turn, Way};

/// The event of the listener; connections count from 0.
const LISTENER: u64 = u64::MAX;
const EVENTS_PER_WAIT: usize = 256;

/// Serves one topic on `address` for ever.
///
/// # Errors
/// The host's, or a client that asks for what the floor does not do.
pub fn serve(address: SocketAddr, mut log: AppendFile, topic: &str, way: Way) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let ready = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&ready, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut waiting: Vec<u64> = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS_PER_WAIT);
    loop {
        events.clear();
        match epoll::wait(&ready, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let (id, flags) = (event.data.u64(), event.flags);
            if id == LISTENER {
                let connection = Connection::new(listener.accept()?.0, topic)?;
                let id = connections.len() as u64;
                epoll::add(&ready, &connection.stream, EventData::new_u64(id), EventFlags::IN)?;
                connections.push(Some(connection));
                continue;
            }
            let Some(connection) = &mut connections[id as usize] else { continue };
            let end_offset = log.end_offset;
            let was_blocked = flags.contains(EventFlags::OUT);
            let turn = if was_blocked { connection.send(&log, way)? } else { connection.receive(&mut log, way)? };
            if connection.waits() && !waiting.contains(&id) {
                waiting.push(id);
            }
            settle(&ready, &mut connections[id as usize], id, was_blocked, turn)?;
            if log.end_offset > end_offset {
                for id in &waiting {
                    let Some(connection) = &mut connections[*id as usize] else { continue };
                    let turn = connection.wake(&log, way)?;
                    settle(&ready, &mut connections[*id as usize], *id, false, turn)?;
                }
                waiting.retain(|id| connections[*id as usize].as_ref().is_some_and(Connection::waits));
            }
        }
    }
}

/// Has epoll tell what the connection waits for now.
fn settle(ready: &impl AsFd, place: &mut Option<Connection>, id: u64, was_blocked: bool, turn: Turn) -> io::Result<()> {
    let Some(connection) = place else { return Ok(()) };
    let wanted = match turn {
        Turn::Done => EventFlags::IN,
        Turn::Blocked => EventFlags::OUT,
        Turn::Closed => {
            epoll::delete(ready, &connection.stream)?;
            *place = None;
            return Ok(());
        }
    };
    if was_blocked != (turn == Turn::Blocked) {
        epoll::modify(ready, &connection.stream, EventData::new_u64(id), wanted)?;
    }
    Ok(())
}
