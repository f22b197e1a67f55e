//! An `InspectReport` for people and for tools. Pure.

use std::fmt;

use super::inspect::{BatchInspection, InspectReport, SegmentInspection};

impl InspectReport {
    /// The report as JSON, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }
}

impl fmt::Display for InspectReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.path.display())?;
        if let Some(topic_id) = &self.topic_id {
            writeln!(formatter, "topic id {topic_id}")?;
        }
        for (epoch, start_offset) in &self.leader_epochs {
            writeln!(formatter, "leader epoch {epoch} from offset {start_offset}")?;
        }
        self.segments.iter().try_for_each(|segment| write!(formatter, "{segment}"))?;
        for name in &self.other_files {
            writeln!(formatter, "also here: {name}")?;
        }
        match self.damage.len() {
            0 => writeln!(formatter, "no damage found"),
            count => {
                writeln!(formatter, "{count} thing(s) wrong:")?;
                self.damage.iter().try_for_each(|what| writeln!(formatter, "  {what}"))
            }
        }
    }
}

impl fmt::Display for SegmentInspection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offsets = match (self.first_offset, self.last_offset) {
            (Some(first), Some(last)) => format!("offsets {first} to {last}"),
            _ => "empty".to_owned(),
        };
        writeln!(
            formatter,
            "segment {:020}: {offsets}, {} batches, {} records, {} bytes, largest timestamp {}, {} + {} index entries",
            self.base_offset,
            self.batches,
            self.records,
            self.bytes,
            self.largest_timestamp,
            self.offset_index_entries,
            self.time_index_entries
        )?;
        if self.bytes_behind_last_batch > 0 {
            writeln!(formatter, "  {} bytes behind the last batch", self.bytes_behind_last_batch)?;
        }
        self.batch_list.iter().try_for_each(|batch| writeln!(formatter, "  {batch}"))
    }
}

impl fmt::Display for BatchInspection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchInspection { position, bytes, base_offset, last_offset, records, codec, max_timestamp, leader_epoch, .. } = self;
        write!(formatter, "{position:>10} {base_offset}..={last_offset} {records} records, {codec}, {bytes} bytes, ")?;
        let clock = if self.is_log_append_time { "appended" } else { "created" };
        write!(formatter, "{clock} up to {max_timestamp}, epoch {leader_epoch}")?;
        if self.producer_id >= 0 {
            write!(formatter, ", producer {} epoch {} from sequence {}", self.producer_id, self.producer_epoch, self.base_sequence)?;
        }
        let marks = [
            (self.is_transactional, "transactional"),
            (self.is_control, "control"),
            (self.has_delete_horizon, "delete horizon in the base timestamp"),
        ];
        marks.iter().filter(|(is, _)| *is).try_for_each(|(_, mark)| write!(formatter, ", {mark}"))?;
        match &self.damage {
            Some(what) => write!(formatter, " DAMAGED: {what}"),
            None => Ok(()),
        }
    }
}
