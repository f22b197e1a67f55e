//! A blocking connection to a broker: whole requests of kafka-protocol, or any bytes at all.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::PATIENCE;

pub struct Connection {
    pub stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    /// Connects. Every later wait ends after [`PATIENCE`] with an error.
    pub fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Connection { stream, correlation_id: 0 }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Panics
    /// If the connection breaks, or the answer is not one of that version to the last byte.
    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request);
        self.receive::<R>(version)
    }

    /// Sends a request and returns its correlation id.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.correlation_id += 1;
        self.send_bytes(&frame(self.correlation_id, version, request)).expect("the broker takes a request");
        self.correlation_id
    }

    /// Reads the answer to the last request of that type and version.
    pub fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let answer = self.receive_frame().expect("the broker answers");
        let (correlation_id, answer) = decode::<R>(version, answer);
        assert_eq!(correlation_id, self.correlation_id, "answers come in the order of the requests");
        answer
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next answer without its length; an error of kind `UnexpectedEof` or `ConnectionReset` if the broker hung up.
    pub fn receive_frame(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("no answer has a negative length")];
        self.stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    /// Waits until the broker hangs up.
    ///
    /// # Panics
    /// If it sends something instead, or keeps the connection for [`PATIENCE`].
    pub fn expect_close(&mut self) {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => {}
            Ok(_) => panic!("expected the broker to close the connection, it answered"),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("expected the broker to close the connection: {error}"),
        }
    }
}

/// Length, header and body of a request.
pub fn frame<R: Request>(correlation_id: i32, version: i16, request: &R) -> Vec<u8> {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap_or_else(|error| panic!("a request of key {} version {version}: {error}", R::KEY));
    frame_around(R::KEY, version, R::header_version(version), correlation_id, &body)
}

/// Length and header around a body that need not be one.
pub fn frame_around(key: i16, version: i16, header_version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    let mut frame = BytesMut::from(&[0; 4][..]);
    header.encode(&mut frame, header_version).expect("the header has no odd field");
    frame.extend_from_slice(body);
    let length = i32::try_from(frame.len() - 4).expect("a frame is below 2 GiB");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.to_vec()
}

/// Correlation id and message of an answer.
///
/// # Panics
/// If it is no answer of that version, or bytes stand behind it.
pub fn decode<R: Request>(version: i16, mut answer: Bytes) -> (i32, R::Response) {
    let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version)).expect("an answer's header");
    let message = R::Response::decode(&mut answer, version)
        .unwrap_or_else(|error| panic!("the answer to key {} version {version} cannot be read: {error}", R::KEY));
    assert!(answer.is_empty(), "{} bytes behind the answer to key {} version {version}", answer.len(), R::KEY);
    (header.correlation_id, message)
}
