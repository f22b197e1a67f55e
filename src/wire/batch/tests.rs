//! Tests of `batch.rs`.

use super::*;

/// One record, key "k", value "v", written by hand from the table in the module's header.
fn golden() -> Vec<u8> {
    #[rustfmt::skip]
    let mut bytes = vec![
        0, 0, 0, 0, 0, 0, 0x01, 0x02,             // base offset 258
        0, 0, 0, 58,                              // length: 49 + 9
        0, 0, 0, 7,                               // leader epoch
        2,                                        // magic
        0, 0, 0, 0,                               // CRC, below
        0, 0,                                     // attributes
        0, 0, 0, 0,                               // last offset delta
        0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, // base timestamp 1700000000000
        0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, // max timestamp
        0, 0, 0, 0, 0, 0, 0, 9,                   // producer id
        0, 3,                                     // producer epoch
        0, 0, 0, 5,                               // base sequence
        0, 0, 0, 1,                               // records count
        16, 0, 0, 0, 2, b'k', 2, b'v', 0,         // length 8, attributes, deltas 0, key, value, no headers
    ];
    let crc = crc32c(&bytes[BATCH_CRC_START..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn the_header_table_is_what_parse_and_write_do() {
    let bytes = golden();
    let header = check_stored(&bytes).unwrap();
    assert_eq!(header.base_offset, Offset(258));
    assert_eq!(header.batch_length, 58);
    assert_eq!(header.total_bytes(), Some(70));
    assert_eq!(header.partition_leader_epoch, LeaderEpoch(7));
    assert_eq!(header.magic, 2);
    assert_eq!(header.crc, 0xa866_8a42, "{:#x}", header.crc);
    assert_eq!(header.attributes, Attributes(0));
    assert_eq!(header.base_timestamp, Timestamp(1_700_000_000_000));
    assert_eq!(header.producer_id, ProducerId(9));
    assert_eq!(header.producer_epoch, 3);
    assert_eq!(header.base_sequence, 5);
    assert_eq!(header.records_count, 1);
    let mut written = [0; BATCH_HEADER_BYTES];
    header.write(&mut written);
    assert_eq!(written, bytes[..BATCH_HEADER_BYTES]);
}

#[test]
fn split_cuts_by_length_and_refuses_what_does_not_fit() {
    let one = golden();
    let two = [golden(), golden()].concat();
    assert_eq!(split(&one).unwrap().count(), 1);
    assert_eq!(split(&two).unwrap().len(), 2);
    assert!(split(&two).unwrap().all(|batch| batch.0 == one));
    assert_eq!(split(&[]).unwrap_err(), BatchError::NoBatch);
    for cut in 1..one.len() {
        assert!(matches!(split(&two[..one.len() + cut]), Err(BatchError::Truncated { .. })), "{cut}");
    }
    let mut short = one.clone();
    short[8..12].copy_from_slice(&48i32.to_be_bytes());
    assert!(matches!(split(&short), Err(BatchError::Length { came: 48, .. })));
    short[8..12].copy_from_slice(&(-1i32).to_be_bytes());
    assert!(matches!(split(&short), Err(BatchError::Length { came: -1, .. })));
    short[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(matches!(split(&short), Err(BatchError::Truncated { .. })));
    for magic in [0, 1] {
        let mut old = one[..34].to_vec();
        old[MAGIC_AT] = magic;
        assert_eq!(split(&old).unwrap_err(), BatchError::Magic { came: magic as i8 });
    }
}

#[test]
fn a_flipped_bit_under_the_crc_is_found() {
    let good = golden();
    for at in BATCH_CRC_START..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(matches!(check_stored(&bad), Err(BatchError::Crc { .. })), "{at}");
    }
    let mut moved = good.clone();
    moved[0..8].copy_from_slice(&77i64.to_be_bytes());
    moved[12..16].copy_from_slice(&3i32.to_be_bytes());
    assert_eq!(check_stored(&moved).unwrap().base_offset, Offset(77));
}

#[test]
fn a_placed_header_has_a_right_crc() {
    let bytes = golden();
    let batch = Batch::stored(&bytes).unwrap();
    for append_time in [None, Some(Timestamp(5)), Some(Timestamp(1_900_000_000_000))] {
        let header = batch.placed_header(Offset(1000), LeaderEpoch(42), append_time);
        let stored = [&header[..], batch.records()].concat();
        let read = check_stored(&stored).unwrap();
        assert_eq!(read.base_offset, Offset(1000));
        assert_eq!(read.partition_leader_epoch, LeaderEpoch(42));
        assert_eq!(read.attributes.is_log_append_time(), append_time.is_some());
        assert_eq!(read.max_timestamp, append_time.unwrap_or(batch.header.max_timestamp));
        assert_eq!(read.base_timestamp, batch.header.base_timestamp);
    }
}

#[test]
fn sequences_wrap_to_zero() {
    let mut header = BatchHeader::parse(&golden()).unwrap();
    header.base_sequence = i32::MAX - 1;
    header.last_offset_delta = 1;
    assert_eq!(header.last_sequence(), i32::MAX);
    header.last_offset_delta = 2;
    assert_eq!(header.last_sequence(), 0);
}
