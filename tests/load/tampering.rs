//! A proxy before a broker that changes answers on their way.
//!
//! Two threads for each connection; they end with it.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;

/// What is done to answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// In the middle of the first large answer to Fetch.
    FlipABitOfFetchedRecords,
    /// The first answer to Produce carries another request's correlation id.
    AnswerAnotherProduceRequest,
    /// The first answer to Produce ends early.
    SayLessThanProduceAnswers,
}

pub struct Proxy {
    port: u16,
    done: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on `port` of 127.0.0.1 and passes on to `broker`. Changes one answer.
    pub fn start(port: u16, broker: &str, tampering: Tampering) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port was free a moment ago");
        let done = Arc::new(AtomicBool::new(false));
        let (broker, is_done) = (broker.to_owned(), done.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(broker) = TcpStream::connect(&broker) else { continue };
                pass_on(client, broker, tampering, is_done.clone());
            }
        });
        Proxy { port, done }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn has_tampered(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
}

fn pass_on(client: TcpStream, broker: TcpStream, tampering: Tampering, done: Arc<AtomicBool>) {
    let asked: Arc<Mutex<HashMap<i32, i16>>> = Arc::default();
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let (mut from_broker, mut to_broker) = (broker.try_clone().unwrap(), broker);
    let remembered = asked.clone();
    thread::spawn(move || {
        while let Ok(request) = frame(&mut from_client) {
            let api_key = i16::from_be_bytes([request[4], request[5]]);
            remembered.lock().unwrap().insert(correlation_id(&request[8..]), api_key);
            if to_broker.write_all(&request).is_err() {
                break;
            }
        }
        let _ = to_broker.shutdown(std::net::Shutdown::Both);
    });
    thread::spawn(move || {
        while let Ok(mut answer) = frame(&mut from_broker) {
            let api_key = asked.lock().unwrap().remove(&correlation_id(&answer[4..]));
            if !done.load(Ordering::SeqCst) && api_key.is_some_and(|api_key| tamper(&mut answer, api_key, tampering)) {
                done.store(true, Ordering::SeqCst);
            }
            if to_client.write_all(&answer).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    });
}

/// Returns whether it did.
fn tamper(answer: &mut Vec<u8>, api_key: i16, tampering: Tampering) -> bool {
    match tampering {
        Tampering::FlipABitOfFetchedRecords if api_key == FETCH && answer.len() > 900 => {
            let middle = answer.len() / 2;
            answer[middle] ^= 4;
        }
        Tampering::AnswerAnotherProduceRequest if api_key == PRODUCE => answer[7] ^= 0x40,
        Tampering::SayLessThanProduceAnswers if api_key == PRODUCE => {
            answer.truncate(answer.len() - 6);
            let length = answer.len() as i32 - 4;
            answer[..4].copy_from_slice(&length.to_be_bytes());
        }
        _ => return false,
    }
    true
}

fn correlation_id(bytes: &[u8]) -> i32 {
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// A whole frame with its length.
fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = length.to_vec();
    frame.resize(4 + i32::from_be_bytes(length) as usize, 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}
