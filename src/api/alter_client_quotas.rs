//! AlterClientQuotas (KIP-546): sets how many bytes per second clients may send and fetch.
//!
//! Any core takes it; the control thread decides and stores, and every core has the quotas when the answer leaves.

use std::rc::Rc;

use kafka_protocol::messages::alter_client_quotas_request::EntryData as Asked;
use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;

use crate::cluster::controller::{Answer, Command, QuotaAlteration, Refusal};
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let alterations = request.entries.iter().map(alteration).collect();
    let results = match shard.change_metadata(Command::AlterClientQuotas { alterations, validate_only: request.validate_only }).await {
        Ok(Answer::ClientQuotas(results)) => results,
        Ok(_) => unreachable!("AlterClientQuotas is answered with quotas"),
        Err(refusal) => vec![Err(refusal); request.entries.len()],
    };
    let entries = request.entries.into_iter().zip(results).map(|(asked, result)| answer_for(asked, result));
    AlterClientQuotasResponse::default().with_entries(entries.collect())
}

fn alteration(asked: &Asked) -> QuotaAlteration {
    let entity = asked.entity.iter().map(|part| (part.entity_type.to_string(), part.entity_name.as_ref().map(ToString::to_string)));
    let operations = asked.ops.iter().map(|operation| (operation.key.to_string(), (!operation.remove).then_some(operation.value)));
    QuotaAlteration { entity: entity.collect(), operations: operations.collect() }
}

fn answer_for(asked: Asked, result: Result<(), Refusal>) -> EntryData {
    let parts = asked.entity.into_iter();
    let entity = parts.map(|part| EntityData::default().with_entity_type(part.entity_type).with_entity_name(part.entity_name)).collect();
    let answer = EntryData::default().with_entity(entity);
    match result {
        Ok(()) => answer.with_error_message(None),
        Err(refusal) => answer.with_error_code(refusal.error_code.code()).with_error_message(Some(StrBytes::from_string(refusal.message))),
    }
}
