//! Subscriptions by regular expression: which topics they mean (KIP-848, `SubscribedTopicRegex`).
//!
//! Looking at every topic takes time, so the shell does it elsewhere: the group asks with an effect and goes on with what it
//! knows. Invariants: at most one resolution of a group is under way; every regular expression of a member is resolved or asked
//! for; one that no member has is forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::change::Change;
use super::group::ConsumerGroup;
use super::record::{ConsumerRecord, ResolvedRegex};
use super::topics::Topics;
use crate::base::ErrorCode;
use crate::base::limits::{REGEX_BYTES_MAX, REGEX_PROGRAM_BYTES_MAX, REGEX_REFRESH_MS_MIN};
use crate::coordinator::effect::{Effect, Refusal, Turn};
use crate::coordinator::ids::ShortText;

/// When the topics of a group's regular expressions were last looked for.
#[derive(Debug, Default)]
pub(super) struct RegexRefresh {
    is_under_way: bool,
    asked_at_ms: Option<i64>,
    /// The topics' version that the answer was of.
    metadata_version: Option<i64>,
}

impl RegexRefresh {
    /// What was found could not be kept: it is looked for again.
    pub(super) fn forget(&mut self) {
        self.metadata_version = None;
    }
}

/// A pattern as a program that runs in time linear in the topic's name.
///
/// # Errors
/// `InvalidRegularExpression`: it is not one, or too large.
pub fn compile(pattern: &str) -> Result<Regex, Refusal> {
    let refuse = |reason: &dyn std::fmt::Display| {
        let message = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {reason}.");
        Refusal::new(ErrorCode::InvalidRegularExpression, message)
    };
    if pattern.len() > REGEX_BYTES_MAX {
        let message = format!("SubscribedTopicRegex has {} bytes, at most {REGEX_BYTES_MAX} are accepted.", pattern.len());
        return Err(Refusal::new(ErrorCode::InvalidRegularExpression, message));
    }
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(REGEX_PROGRAM_BYTES_MAX).build();
    // Alone first, or `a)(b` would become one in the brackets.
    build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z"))).map_err(|error| refuse(&error))
}

/// The topics whose whole names each pattern matches. Kafka's internal topics are matched as any other.
pub fn resolve(patterns: &[ShortText], topics: &dyn Topics) -> Vec<(ShortText, BTreeSet<ShortText>)> {
    let resolved = patterns.iter().map(|pattern| {
        let mut names = BTreeSet::new();
        // One that an older broker took and we cannot means nothing.
        if let Ok(regex) = compile(pattern.as_str()) {
            topics.each_name(&mut |name| {
                if regex.is_match(name)
                    && let Ok(name) = ShortText::new(name)
                {
                    names.insert(name);
                }
            });
        }
        (pattern.clone(), names)
    });
    resolved.collect()
}

impl ConsumerGroup {
    /// Asks for the topics of the members' regular expressions if some are not known, or the cluster has changed and the last
    /// time is a while ago.
    pub(super) fn request_regexes(&mut self, turn: &mut Turn) {
        if self.regex_refresh.is_under_way {
            return;
        }
        let patterns = self.patterns();
        let is_new = patterns.iter().any(|pattern| !self.memory.regexes().contains_key(pattern));
        let is_old = self.regex_refresh.metadata_version != Some(self.topics.version())
            && self.regex_refresh.asked_at_ms.is_none_or(|at_ms| turn.now_ms >= at_ms.saturating_add(REGEX_REFRESH_MS_MIN));
        if patterns.is_empty() || !(is_new || is_old) {
            return;
        }
        self.regex_refresh.is_under_way = true;
        self.regex_refresh.asked_at_ms = Some(turn.now_ms);
        turn.effects.push(Effect::ResolveRegexes { group_id: self.id.clone(), patterns: patterns.into_iter().collect() });
    }

    /// The answer. Members are given the new topics at their next heartbeats.
    pub(super) fn regexes_resolved(&mut self, metadata_version: i64, resolved: Vec<(ShortText, BTreeSet<ShortText>)>, turn: &mut Turn) {
        self.regex_refresh.is_under_way = false;
        self.regex_refresh.metadata_version = Some(metadata_version);
        let patterns = self.patterns();
        let mut change = Change::default();
        for (pattern, topics) in resolved {
            let is_known = self.memory.regexes().get(&pattern).is_some_and(|known| known.topics == topics);
            if !is_known && patterns.contains(&pattern) {
                let resolved = ResolvedRegex { topics, metadata_version, resolved_at_ms: turn.now_ms };
                self.note(ConsumerRecord::Regex(pattern, Some(Arc::new(resolved))), &mut change);
            }
        }
        if !change.is_empty() {
            self.raise_epoch_if(true, &mut change);
        }
        self.finish(change, None, turn);
    }

    pub(super) fn drop_unused_regexes(&mut self, change: &mut Change) {
        let patterns = self.patterns();
        let unused: Vec<ShortText> = self.memory.regexes().keys().filter(|regex| !patterns.contains(*regex)).cloned().collect();
        for regex in unused {
            self.note(ConsumerRecord::Regex(regex, None), change);
        }
    }

    fn patterns(&self) -> BTreeSet<ShortText> {
        self.memory.members().values().filter_map(|member| member.regex().cloned()).collect()
    }
}
