//! `/api/v1/orders` and `/api/v1/orders/{order_id}`

use serde_json::{Value, json};

use crate::http::api::{LIMIT_DEFAULT, LIMIT_MAX, List, OrderBody};
use crate::http::openapi::examples::orders as examples;
use crate::http::openapi::headers::{REQUEST_ID, parameter};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::values::{Cursor, ExternalId, LinkId, OrderFlag, OrderState, reference};
use crate::http::routes;

/// `GET`, one
pub fn get() -> Operation {
    Operation {
        path: routes::ORDER,
        method: "get",
        id: "getOrder",
        tag: Tag::Reading,
        summary: "Read one order",
        description: "The order as its events make it: any order of their arrival and any repetition gives the \
                      same figures. Leads alone make no order. Escape what the order's id has of `/` and other \
                      reserved characters. Sign with v2."
            .to_owned(),
        causes: &[Cause::Request, Cause::Signed, Cause::Named],
        parameters: vec![
            json!({
                "name": "order_id", "in": "path", "required": true, "description": "The order.",
                "schema": reference::<ExternalId>(),
            }),
            parameter(REQUEST_ID),
        ],
        bodies: Vec::new(),
        answers: vec![Answer {
            status: 200,
            description: "The order.",
            headers: &[],
            content: Some(Content {
                media_type: "application/json",
                schema: reference::<OrderBody<'_>>(),
                examples: examples::one(),
            }),
        }],
    }
}

/// `GET`, many
pub fn list() -> Operation {
    Operation {
        path: routes::ORDERS,
        method: "get",
        id: "listOrders",
        tag: Tag::Reading,
        summary: "List orders",
        description: "A page of orders, newest first: by the first event received that can put an order into the \
                      list (with a `state` that takes the sale back, say, the first that took any of it back). \
                      A page looks at a bounded number of orders: it may be short, even empty, and yet have a \
                      `next_cursor`. Sign with v2, query included."
            .to_owned(),
        causes: &[Cause::Request, Cause::Signed, Cause::Query],
        parameters: parameters(),
        bodies: Vec::new(),
        answers: vec![Answer {
            status: 200,
            description: "A page.",
            headers: &[],
            content: Some(Content {
                media_type: "application/json",
                schema: reference::<List<OrderBody<'_>>>(),
                examples: examples::pages(),
            }),
        }],
    }
}

fn parameters() -> Vec<Value> {
    let query = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    vec![
        query("state", "Orders in this state.", reference::<OrderState>()),
        query("flag", "Orders with this flag.", reference::<OrderFlag>()),
        query("url_id", "Orders whose sale is credited to this short link.", reference::<LinkId>()),
        query(
            "limit",
            "How many orders the page may have.",
            json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT }),
        ),
        query(
            "cursor",
            "The `next_cursor` of the page before, all other parameters as they were but `limit`.",
            reference::<Cursor>(),
        ),
        parameter(REQUEST_ID),
    ]
}
