//! The few words of the Model Context Protocol that device and gateway exchange after CONNECT.
//!
//! The gateway asks `initialize`, then `tools/list`; a real device answers both. JSON-RPC 2.0.

use serde_json::{Value, json};

/// The protocol revision that the firmware answers with.
const PROTOCOL_VERSION: &str = "2024-11-05";
/// JSON-RPC's code for a method that does not exist.
const METHOD_NOT_FOUND: i64 = -32601;

/// The id of the gateway's first request.
pub const FIRST_REQUEST_ID: u64 = 10_000;

/// The gateway's `initialize` request.
pub fn initialize(id: u64) -> Value {
    json!({
        "jsonrpc": "2.0",
        "method": "initialize",
        "id": id,
        "params": {
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": {},
            "clientInfo": { "name": "din-gateway", "version": env!("CARGO_PKG_VERSION") },
        },
    })
}

/// The gateway's word that `initialize` was answered.
pub fn initialized() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
}

/// The gateway's `tools/list` request.
pub fn tools_list(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "method": "tools/list", "id": id, "params": {} })
}

/// The request that a response answers; `None` when it is no response.
pub fn answered_id(payload: &Value) -> Option<u64> {
    let is_response = payload.get("result").is_some() || payload.get("error").is_some();
    payload.get("id").filter(|_| is_response).and_then(Value::as_u64)
}

/// What a device answers to `request`; `None` for notifications, which are not answered.
pub fn answer(request: &Value) -> Option<Value> {
    let id = request.get("id").filter(|id| !id.is_null())?;
    let method = request.get("method").and_then(Value::as_str)?;
    let outcome = match method {
        "initialize" => json!({
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "din-device", "version": env!("CARGO_PKG_VERSION") },
        }),
        "tools/list" => json!({
            "tools": [{
                "name": "self.get_device_status",
                "description": "Volume and battery of the device.",
                "inputSchema": { "type": "object", "properties": {} },
            }],
        }),
        other => {
            let error =
                json!({ "code": METHOD_NOT_FOUND, "message": format!("unknown method {other}") });
            return Some(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        }
    };
    Some(json!({ "jsonrpc": "2.0", "id": id, "result": outcome }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_requests_are_answered_under_their_id() {
        for request in [initialize(10_000), tools_list(10_001)] {
            let response = answer(&request).unwrap();
            assert_eq!(answered_id(&response), request["id"].as_u64());
            assert!(response.get("result").is_some());
        }
    }

    #[test]
    fn notifications_are_not_answered_and_unknown_methods_are_refused() {
        assert_eq!(answer(&initialized()), None);
        assert_eq!(answer(&json!({"jsonrpc": "2.0", "id": 1, "result": {}})), None);
        let refusal = answer(&json!({"jsonrpc": "2.0", "id": 7, "method": "fly"})).unwrap();
        assert_eq!(refusal["error"]["code"], METHOD_NOT_FOUND);
        assert_eq!(answered_id(&json!({"id": 7, "method": "fly"})), None);
    }
}
