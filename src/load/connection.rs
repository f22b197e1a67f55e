//! One connection to one broker: frames in and out, and calls for the requests that are not hot.
//!
//! Lives on a worker thread or the main one, in a tokio current-thread runtime. Invariants: `start <= end <= buffer.len()`; bytes
//! `start..end` are received and not yet handed out; a frame is at most `FRAME_BYTES_MAX` long.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::peer_error::PeerError;
use super::{fetch_request, produce_request};

/// How this program calls itself to brokers.
pub const CLIENT_ID: &str = "pagewire-load";
/// An answer larger than this is taken for garbage.
pub const FRAME_BYTES_MAX: usize = 512 * 1024 * 1024;
/// The receive buffer at first; it grows to the largest answer.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long a call that is not hot may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection whose broker has said which versions it serves.
#[derive(Debug)]
pub struct Connection {
    pub address: String,
    pub stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    correlation_id: i32,
    versions: BTreeMap<i16, (i16, i16)>,
    features: BTreeMap<String, i16>,
}

impl Connection {
    /// Connects to `host:port` and asks for the API versions.
    ///
    /// # Errors
    /// The address cannot be reached, or what listens there is no Kafka broker this program can talk to.
    pub async fn open(address: &str) -> Result<Connection, PeerError> {
        let refused = |source| PeerError::Connect { address: address.into(), source };
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        let stream = connecting.await.map_err(|_| refused(std::io::ErrorKind::TimedOut.into()))?.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let mut connection = Connection {
            address: address.into(),
            stream,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            correlation_id: 0,
            versions: BTreeMap::new(),
            features: BTreeMap::new(),
        };
        connection.ask_versions().await?;
        connection.require(produce_request::API_KEY, "Produce", produce_request::VERSION)?;
        connection.require(fetch_request::API_KEY, "Fetch", fetch_request::VERSION)?;
        Ok(connection)
    }

    /// Asks for the API versions. As requests of a connection are answered in order, the answer also says that everything before has
    /// been dealt with, even what has no answer of its own.
    ///
    /// # Errors
    /// The connection broke, or the broker refuses.
    pub async fn ask_versions(&mut self) -> Result<(), PeerError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(CLIENT_ID))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer = self.call_at(&request, 3, "ApiVersions").await?;
        match answer.error_code {
            0 => {
                self.versions = answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
                let features = answer.finalized_features.iter();
                self.features = features.map(|feature| (feature.name.to_string(), feature.max_version_level)).collect();
                Ok(())
            }
            code => Err(self.refused("ApiVersions", code, None)),
        }
    }

    /// By API key: the lowest and the highest version that the broker serves.
    pub fn versions(&self) -> &BTreeMap<i16, (i16, i16)> {
        &self.versions
    }

    /// The features in force and their levels (KIP-584).
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    fn require(&self, api_key: i16, what: &'static str, version: i16) -> Result<(), PeerError> {
        match self.versions.get(&api_key) {
            Some((min, max)) if (*min..=*max).contains(&version) => Ok(()),
            offered => Err(self.version_error(what, offered, version.to_string())),
        }
    }

    fn version_error(&self, what: &'static str, offered: Option<&(i16, i16)>, spoken: String) -> PeerError {
        let offered = offered.map_or("not at all".to_string(), |(min, max)| format!("from version {min} to {max}"));
        PeerError::Version { address: self.address.clone(), what, offered, spoken: format!("version {spoken}") }
    }

    /// The refusal of a request, with what the broker said about it.
    pub fn refused(&self, what: &str, code: i16, message: Option<&str>) -> PeerError {
        let message = message.map(|message| format!(": {message}")).unwrap_or_default();
        PeerError::Refused { address: self.address.clone(), what: what.into(), code, message }
    }

    /// Sends one request in the highest version below `version_max` that both sides know, and waits for its answer.
    ///
    /// # Errors
    /// No common version, no answer, or one that cannot be read.
    pub async fn call<R: Request>(&mut self, request: &R, version_max: i16, what: &'static str) -> Result<R::Response, PeerError> {
        let spoken = <R as Message>::VERSIONS;
        let highest = version_max.min(spoken.max);
        match self.versions.get(&R::KEY) {
            Some((min, max)) if *min <= highest && spoken.min <= *max => self.call_at(request, highest.min(*max), what).await,
            offered => Err(self.version_error(what, offered, format!("{} to {highest}", spoken.min))),
        }
    }

    async fn call_at<R: Request>(&mut self, request: &R, version: i16, what: &'static str) -> Result<R::Response, PeerError> {
        let correlation_id = self.next_correlation_id();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation_id)
            .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
        let mut frame = BytesMut::from(&[0u8; 4][..]);
        let encoded = header.encode(&mut frame, R::header_version(version)).and_then(|()| request.encode(&mut frame, version));
        encoded.map_err(|error| PeerError::Garbled { address: self.address.clone(), what, why: format!("{error:#}") })?;
        let length = frame.len() as i32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.write_all(&frame).await?;
        let answer = self.await_frame(what, CALL_TIMEOUT).await?;
        let mut answer = Bytes::copy_from_slice(self.frame(answer));
        let garbled = |why: String| PeerError::Garbled { address: self.address.clone(), what, why };
        let header =
            ResponseHeader::decode(&mut answer, R::Response::header_version(version)).map_err(|error| garbled(format!("{error:#}")))?;
        if header.correlation_id != correlation_id {
            return Err(PeerError::Order { address: self.address.clone(), expected: correlation_id, came: header.correlation_id });
        }
        // A broker that does not know this version of ApiVersions answers with version 0 and error 35 (KIP-511).
        if R::KEY == 18 && answer.len() >= 2 && answer.chunk()[..2] == 35i16.to_be_bytes() {
            return Err(PeerError::Version {
                address: self.address.clone(),
                what,
                offered: "only below version 3".into(),
                spoken: "version 3".into(),
            });
        }
        R::Response::decode(&mut answer, version).map_err(|error| garbled(format!("{error:#}")))
    }

    pub fn next_correlation_id(&mut self) -> i32 {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.correlation_id
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), PeerError> {
        while !bytes.is_empty() {
            self.stream.writable().await.map_err(|source| self.broken(source))?;
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(source) => return Err(self.broken(source)),
            }
        }
        Ok(())
    }

    /// Waits for the next whole frame and returns where it is; see [`Connection::frame`].
    ///
    /// # Errors
    /// The connection broke or ended, the frame is too large, or `timeout` passed.
    pub async fn await_frame(&mut self, what: &'static str, timeout: Duration) -> Result<Range<usize>, PeerError> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            if let Some(frame) = self.next_frame()? {
                return Ok(frame);
            }
            match tokio::time::timeout_at(deadline, self.stream.readable()).await {
                Err(_) => {
                    let after_ms = timeout.as_millis() as u64;
                    return Err(PeerError::Silent { address: self.address.clone(), what, after_ms });
                }
                Ok(ready) => ready.map_err(|source| self.broken(source))?,
            }
            self.try_fill(what)?;
        }
    }

    /// Reads once, as much as there is room for. Returns whether anything came.
    ///
    /// # Errors
    /// The connection broke or ended.
    pub fn try_fill(&mut self, what: &'static str) -> Result<bool, PeerError> {
        self.make_room()?;
        // Unlike `try_read`, this takes a short read for "no more", which saves a system call for each answer. Whoever wants to be woken
        // waits for `readable`.
        let mut room = ReadBuf::new(&mut self.buffer[self.end..]);
        match Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut room) {
            Poll::Ready(Ok(())) => match room.filled().len() {
                0 => Err(PeerError::Closed { address: self.address.clone(), what }),
                read => {
                    self.end += read;
                    Ok(true)
                }
            },
            Poll::Pending => Ok(false),
            Poll::Ready(Err(source)) => Err(self.broken(source)),
        }
    }

    /// Makes room behind `end`: for the whole of a frame that has begun, in one go.
    fn make_room(&mut self) -> Result<(), PeerError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let frame_bytes = self.pending_frame_bytes()?.map_or(BUFFER_BYTES, |body| body + 4);
        if self.end < self.buffer.len() && self.start + frame_bytes <= self.buffer.len() {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() < frame_bytes || self.end == self.buffer.len() {
            self.buffer.resize((2 * self.buffer.len()).max(frame_bytes), 0);
        }
        Ok(())
    }

    /// Bytes that the frame at `start` announces, its own four left out.
    fn pending_frame_bytes(&self) -> Result<Option<usize>, PeerError> {
        let Some(length) = self.buffer[self.start..self.end].first_chunk::<4>() else { return Ok(None) };
        let length = i32::from_be_bytes(*length);
        match usize::try_from(length) {
            Ok(bytes) if (4..=FRAME_BYTES_MAX).contains(&bytes) => Ok(Some(bytes)),
            _ => Err(PeerError::FrameSize { address: self.address.clone(), bytes: length.into(), max: FRAME_BYTES_MAX }),
        }
    }

    /// Hands out the next whole frame that has been received, as the place of what follows its length. The place holds until the
    /// next read.
    ///
    /// # Errors
    /// The frame announces more than [`FRAME_BYTES_MAX`] or less than a correlation id.
    pub fn next_frame(&mut self) -> Result<Option<Range<usize>>, PeerError> {
        let Some(length) = self.pending_frame_bytes()? else { return Ok(None) };
        let frame = self.start + 4..self.start + 4 + length;
        if frame.end > self.end {
            return Ok(None);
        }
        self.start = frame.end;
        Ok(Some(frame))
    }

    /// The bytes of a frame: correlation id, then the rest.
    pub fn frame(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    /// Takes the correlation id off a frame and checks it.
    ///
    /// # Errors
    /// It is not `expected`.
    pub fn body(&self, place: Range<usize>, expected: i32) -> Result<&[u8], PeerError> {
        let frame = self.frame(place);
        let (correlation_id, body) = frame.split_first_chunk::<4>().expect("a frame is at least four bytes");
        match i32::from_be_bytes(*correlation_id) {
            came if came == expected => Ok(body),
            came => Err(PeerError::Order { address: self.address.clone(), expected, came }),
        }
    }

    pub fn broken(&self, source: std::io::Error) -> PeerError {
        PeerError::Broken { address: self.address.clone(), source }
    }
}
