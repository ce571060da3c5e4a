//! What integration guides tell their readers to write around a callback, run against the service
//! while everything goes wrong: every loop ends with the answer it was promised, and every logical
//! operation is one event.

mod crowd;
mod cuts;
mod database;
mod endpoints;
mod final_answers;
mod gateways;
mod imports;
mod instances;
mod ledger;
mod overload;
mod program;
mod rate_limits;
mod restarts;
mod shop;
