//! InitProducerId: an id for an idempotent producer (KIP-98).
//!
//! Each core hands out ids from a block of its own, which the control thread has stored as given before the first of them
//! leaves, so no id is ever given twice, kill -9 or not. Without a transactional id every request gets a new id, as in Kafka.

use std::rc::Rc;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::base::ErrorCode;
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, request: InitProducerIdRequest) -> InitProducerIdResponse {
    if request.transactional_id.is_some() {
        tracing::warn!(
            "InitProducerId with a transactional id: transactions are not served; use an idempotent producer without transactional.id"
        );
        return refused(ErrorCode::InvalidRequest);
    }
    // KIP-360: an id and its epoch come together. Without a transactional id they change nothing: the producer raises its epoch by itself.
    if (request.producer_id.0 == -1) != (request.producer_epoch == -1) {
        return refused(ErrorCode::InvalidRequest);
    }
    match shard.next_producer_id().await {
        Ok(id) => InitProducerIdResponse::default().with_producer_id(kafka_protocol::messages::ProducerId(id.0)).with_producer_epoch(0),
        Err(refusal) => {
            tracing::error!("InitProducerId: {}", refusal.message);
            refused(refusal.error_code)
        }
    }
}

fn refused(error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(error.code())
        .with_producer_id(kafka_protocol::messages::ProducerId(-1))
        .with_producer_epoch(-1)
}
