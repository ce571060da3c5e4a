//! Reading what is recorded under given identities: for the rows of a batch that were there.

use std::collections::HashMap;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Text};

use super::row::Row;
use crate::domain::event::{Identity, Recorded};
use crate::storage::schema::events;
use crate::storage::{AnyConnection, StoreError};

/// The events of these identities. Every identity must be there: the caller holds their locks.
pub fn originals<'a>(
    connection: &mut AnyConnection,
    identities: &[Identity<'a>],
) -> Result<HashMap<Identity<'a>, Recorded>, StoreError> {
    if identities.is_empty() {
        return Ok(HashMap::new());
    }
    match connection {
        AnyConnection::Postgres(c) => originals_postgres(c, identities),
        AnyConnection::Sqlite(c) => originals_sqlite(c, identities),
    }
}

fn originals_sqlite<'a>(
    connection: &mut SqliteConnection,
    identities: &[Identity<'a>],
) -> Result<HashMap<Identity<'a>, Recorded>, StoreError> {
    let mut found = HashMap::with_capacity(identities.len());
    for identity in identities {
        let row: Row = events::table
            .filter(events::merchant_id.eq(identity.merchant_id.to_string()))
            .filter(events::mode.eq(identity.mode.as_str()))
            .filter(events::order_id.eq(identity.order))
            .filter(events::event_name.eq(identity.name.as_str()))
            .filter(events::own_id.eq(identity.own_id))
            .select(Row::as_select())
            .first(connection)?;
        found.insert(identity.clone(), row.into_recorded()?);
    }
    Ok(found)
}

fn originals_postgres<'a>(
    connection: &mut PgConnection,
    identities: &[Identity<'a>],
) -> Result<HashMap<Identity<'a>, Recorded>, StoreError> {
    let query = Originals {
        columns: <Row as Selectable<Pg>>::construct_selection(),
        merchant_id: identities.iter().map(|identity| identity.merchant_id.to_string()).collect(),
        mode: identities.iter().map(|identity| identity.mode.as_str()).collect(),
        order_id: identities.iter().map(|identity| identity.order).collect(),
        event_name: identities.iter().map(|identity| identity.name.as_str()).collect(),
        own_id: identities.iter().map(|identity| identity.own_id).collect(),
        position: (0i64..).take(identities.len()).collect(),
    };
    let rows: Vec<(i64, Row)> = query.load(connection)?;
    rows.into_iter()
        .map(|(position, row)| {
            let identity = usize::try_from(position).ok().and_then(|position| identities.get(position));
            let identity =
                identity.ok_or_else(|| StoreError::Refused("a position beyond the batch".to_owned()))?;
            Ok((identity.clone(), row.into_recorded()?))
        })
        .collect()
}

/// One statement of constant text for any number of identities; `position` says whose row it is.
struct Originals<'a> {
    columns: <Row as Selectable<Pg>>::SelectExpression,
    merchant_id: Vec<String>,
    mode: Vec<&'a str>,
    order_id: Vec<&'a str>,
    event_name: Vec<&'a str>,
    own_id: Vec<&'a str>,
    position: Vec<i64>,
}

impl QueryFragment<Pg> for Originals<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT wanted.position, ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.merchant_id)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Text>, _>(&self.mode)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Text>, _>(&self.order_id)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Text>, _>(&self.event_name)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Text>, _>(&self.own_id)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<BigInt>, _>(&self.position)?;
        out.push_sql(
            "::bigint[]) AS wanted (merchant_id, mode, order_id, event_name, own_id, position) \
             JOIN events USING (merchant_id, mode, order_id, event_name, own_id)",
        );
        Ok(())
    }
}

impl QueryId for Originals<'_> {
    type QueryId = Originals<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Originals<'_> {
    type SqlType = (BigInt, diesel::dsl::SqlTypeOf<diesel::dsl::AsSelect<Row, Pg>>);
}

impl RunQueryDsl<PgConnection> for Originals<'_> {}
