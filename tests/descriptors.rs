//! Clients that take every descriptor they can get take none that a log needs.

mod broker;

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use broker::{Broker, ask, fresh_dir, serve};

const DESCRIPTORS: usize = 400;

#[test]
fn logs_go_on_when_clients_have_used_up_their_descriptors() {
    let directory = fresh_dir();
    let serve = serve::<&str>(directory.path(), &[]);
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}")).arg(serve.get_program()).args(serve.get_args());
    limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut broker = Broker::start_command(limited, directory.path());
    let mut connection = broker.connect(0);
    // A sync takes a descriptor of its own for a moment, and so does the next segment.
    ask::create_topic(&mut connection, "t", 2, &[("flush.messages", "1"), ("segment.bytes", "1048576")]);

    let crowd: Vec<TcpStream> = (0..2 * DESCRIPTORS).filter_map(|number| TcpStream::connect(broker.address(number % 2)).ok()).collect();
    assert!(crowd.len() > DESCRIPTORS);
    // It says so, whether it refuses them or has nothing left to accept them with.
    broker.wait_until(|broker| broker.said().contains("connection"));
    std::thread::sleep(Duration::from_millis(200));
    for number in 0..8u8 {
        for partition in 0..2 {
            assert_eq!(ask::write(&mut connection, "t", partition, &[vec![number; 300_000]]), i64::from(number));
        }
    }
    drop(crowd);
    broker.stop();
}
