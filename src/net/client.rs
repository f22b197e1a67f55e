//! A small blocking client of any broker that speaks Kafka's protocol: what the admin commands need and no more.
//!
//! Main thread of a command, never a core. One connection, one request at a time, so an answer that carries another correlation
//! id is an error. Every wait has an end: `CONNECT_TIMEOUT`, `ANSWER_TIMEOUT`.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use crate::base::limits::REQUEST_BYTES_MAX;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The version of ApiVersions that every broker since Kafka 0.10 answers.
const FIRST_API_VERSIONS: i16 = 0;

/// Why a broker could not be asked. Each message says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{address:?} is no address: expected HOST:PORT such as localhost:9092 ({reason})")]
    Address { address: String, reason: String },
    #[error("cannot connect to {address}: {source}; is the broker running, and does it listen there?")]
    Connect { address: SocketAddr, source: std::io::Error },
    #[error("the connection to {address} broke while waiting for {what}: {source}; the broker's log says why")]
    Broken { address: SocketAddr, what: &'static str, source: std::io::Error },
    #[error("the broker at {address} knows no version of {what} that this client speaks (it has {theirs}, this client {ours})")]
    Version { address: SocketAddr, what: &'static str, theirs: String, ours: String },
    #[error("what {address} answered to {what} is not Kafka's protocol: {reason}; is this the port of a broker?")]
    Protocol { address: SocketAddr, what: &'static str, reason: String },
}

/// A connection to one broker whose versions are known.
pub struct Client {
    address: SocketAddr,
    stream: TcpStream,
    correlation_id: i32,
    versions: HashMap<i16, (i16, i16)>,
}

impl Client {
    /// Connects to `HOST:PORT` and asks which versions the broker has.
    ///
    /// # Errors
    /// No such address, nobody there, or somebody who speaks another protocol.
    pub fn connect(bootstrap: &str) -> Result<Client, ClientError> {
        let refused = |reason: String| ClientError::Address { address: bootstrap.into(), reason };
        let addresses: Vec<SocketAddr> = bootstrap.to_socket_addrs().map_err(|error| refused(error.to_string()))?.collect();
        let mut last = Err(refused("the name has no address".into()));
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return Client::greet(address, stream),
                Err(source) => last = Err(ClientError::Connect { address, source }),
            }
        }
        last
    }

    fn greet(address: SocketAddr, stream: TcpStream) -> Result<Client, ClientError> {
        let broken = |source| ClientError::Broken { address, what: "ApiVersions", source };
        stream.set_nodelay(true).map_err(broken)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(broken)?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(broken)?;
        let mut client = Client { address, stream, correlation_id: 0, versions: HashMap::new() };
        let answer = client.ask_version("ApiVersions", &ApiVersionsRequest::default(), FIRST_API_VERSIONS)?;
        client.versions = answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(client)
    }

    /// Whether the broker has any version of that API.
    pub fn knows<R: Request>(&self) -> bool {
        self.versions.contains_key(&R::KEY)
    }

    /// The newest version of that API both sides speak.
    pub fn version<R: Request>(&self) -> Option<i16> {
        let (min, max) = self.versions.get(&R::KEY)?;
        let newest = (*max).min(R::VERSIONS.max);
        (newest >= *min && newest >= R::VERSIONS.min).then_some(newest)
    }

    /// Sends one request in the newest version both sides speak, and waits for its answer.
    ///
    /// # Errors
    /// No common version, a broken connection, or an answer that cannot be read.
    pub fn ask<R: Request>(&mut self, what: &'static str, request: &R) -> Result<R::Response, ClientError> {
        let version = self.version::<R>().ok_or_else(|| ClientError::Version {
            address: self.address,
            what,
            theirs: self.versions.get(&R::KEY).map_or("none".into(), |(min, max)| format!("{min} to {max}")),
            ours: format!("{} to {}", R::VERSIONS.min, R::VERSIONS.max),
        })?;
        self.ask_version(what, request, version)
    }

    fn ask_version<R: Request>(&mut self, what: &'static str, request: &R, version: i16) -> Result<R::Response, ClientError> {
        self.correlation_id += 1;
        let frame = self.frame(request, version).map_err(|error| self.protocol(what, error.to_string()))?;
        self.stream.write_all(&frame).map_err(|source| ClientError::Broken { address: self.address, what, source })?;
        let mut answer = self.read_frame(what)?;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .map_err(|error| self.protocol(what, error.to_string()))?;
        if header.correlation_id != self.correlation_id {
            let reason = format!("expected the answer to request {}, not to {}", self.correlation_id, header.correlation_id);
            return Err(self.protocol(what, reason));
        }
        R::Response::decode(&mut answer, version).map_err(|error| self.protocol(what, error.to_string()))
    }

    /// Length, header, body.
    fn frame<R: Request>(&self, request: &R, version: i16) -> Result<BytesMut, impl std::fmt::Display + use<R>> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("pagewire-admin")));
        let mut frame = BytesMut::from(&[0; 4][..]);
        let encoded = header.encode(&mut frame, R::header_version(version)).and_then(|()| request.encode(&mut frame, version));
        encoded.map(|()| {
            let length = (frame.len() - 4) as u32;
            frame[..4].copy_from_slice(&length.to_be_bytes());
            frame
        })
    }

    fn read_frame(&mut self, what: &'static str) -> Result<Bytes, ClientError> {
        let broken = |source| ClientError::Broken { address: self.address, what, source };
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(broken)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > REQUEST_BYTES_MAX {
            let reason = format!("it announces {length} bytes, and {REQUEST_BYTES_MAX} is the most");
            return Err(self.protocol(what, reason));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).map_err(broken)?;
        Ok(answer.into())
    }

    fn protocol(&self, what: &'static str, reason: String) -> ClientError {
        ClientError::Protocol { address: self.address, what, reason }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a listener and a thread stand in for the broker
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A broker that reads one request and answers these bytes.
    fn answering(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&answer).unwrap();
        });
        address
    }

    fn error(answer: &[u8]) -> String {
        Client::connect(&answering(answer.to_vec())).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn the_versions_are_known_after_connecting() {
        // Length 16, correlation id 1, no error, one API: CreateTopics 2 to 5.
        let answer = [0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 19, 0, 2, 0, 5];
        let client = Client::connect(&answering(answer.to_vec())).unwrap();
        assert!(client.knows::<kafka_protocol::messages::CreateTopicsRequest>());
        assert!(!client.knows::<kafka_protocol::messages::DeleteTopicsRequest>());
    }

    #[test]
    fn what_is_no_broker_is_told_so() {
        assert!(error(b"HTTP/1.1 400 Bad Request\r\n").contains("is this the port of a broker?"));
        assert!(error(&[0, 0, 0, 10, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0]).contains("expected the answer to request 1, not to 9"));
        assert!(error(&[0, 0, 0, 5, 0]).contains("broke while waiting for ApiVersions"));
    }

    #[test]
    fn nobody_there_is_told_so() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert!(Client::connect(&address).map(|_| ()).unwrap_err().to_string().contains("is the broker running"));
        assert!(Client::connect("nonsense").map(|_| ()).unwrap_err().to_string().contains("expected HOST:PORT"));
    }
}
