//! What this engine does not serve yet: the rest of version 1.0 of the table. Each function refuses with a constant, so
//! that a plugin can try it at no cost and later engines can serve it without a new table.

use super::source::{functions, put};
use inferlay_backend_sdk::abi::{
    INFERLAY_ABI_CODE_UNSUPPORTED, inferlay_abi_call, inferlay_abi_engine, inferlay_abi_instance, inferlay_abi_metric,
    inferlay_abi_metric_kind, inferlay_abi_placement, inferlay_abi_reply, inferlay_abi_reply_fn, inferlay_abi_request,
    inferlay_abi_span, inferlay_abi_status, inferlay_abi_tensor, inferlay_abi_text, inferlay_abi_value,
};
use std::ffi::c_void;
use std::ptr::null_mut;

struct Constant(inferlay_abi_status);

// SAFETY: a constant, with a constant text.
unsafe impl Sync for Constant {}

static REFUSAL: Constant = {
    const MESSAGE: &str = "this engine does not serve it yet";
    Constant(inferlay_abi_status {
        struct_size: size_of::<inferlay_abi_status>() as u32,
        code: INFERLAY_ABI_CODE_UNSUPPORTED,
        message: inferlay_abi_text { data: MESSAGE.as_ptr().cast(), len: MESSAGE.len() },
        free: None,
    })
};

/// The refusal, which allocates nothing.
pub(super) fn refused() -> *const inferlay_abi_status {
    &raw const REFUSAL.0
}

functions! {
    fn instance_ready(_instance: *const inferlay_abi_instance) -> *const inferlay_abi_status {
        refused()
    }

    fn metric_new(
        _engine: *const inferlay_abi_engine,
        _kind: inferlay_abi_metric_kind,
        _name: inferlay_abi_text,
        _description: inferlay_abi_text,
        _labels: inferlay_abi_text,
        _metric: *mut *mut inferlay_abi_metric,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn metric_add(_metric: *const inferlay_abi_metric, _value: f64) {}

    fn metric_set(_metric: *const inferlay_abi_metric, _value: f64) {}

    fn metric_free(_metric: *mut inferlay_abi_metric) {}

    fn call_new(
        _engine: *const inferlay_abi_engine,
        _parent: *const inferlay_abi_request,
        _model: inferlay_abi_text,
        _version: u64,
        _call: *mut *mut inferlay_abi_call,
    ) -> *const inferlay_abi_status {
        refused()
    }

    /// No call can have been made.
    fn call_input(
        _call: *mut inferlay_abi_call,
        _name: inferlay_abi_text,
        _tensor: *const inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn call_output(
        _call: *mut inferlay_abi_call,
        _name: inferlay_abi_text,
        _placement: *const inferlay_abi_placement,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn call_parameter(
        _call: *mut inferlay_abi_call,
        _name: inferlay_abi_text,
        _value: *const inferlay_abi_value,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn call_send(
        _call: *mut inferlay_abi_call,
        _on_response: inferlay_abi_reply_fn,
        _on_release: Option<unsafe extern "C" fn(*mut c_void)>,
        _data: *mut c_void,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn call_cancel(_call: *mut inferlay_abi_call) {}

    fn call_free(_call: *mut inferlay_abi_call) {}

    fn reply_output_count(_reply: *const inferlay_abi_reply) -> u32 {
        0
    }

    fn reply_output(
        _reply: *const inferlay_abi_reply,
        _index: u32,
        _name: *mut inferlay_abi_text,
        _tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn reply_parameter(
        _reply: *const inferlay_abi_reply,
        _name: inferlay_abi_text,
        _value: *mut inferlay_abi_value,
    ) -> *const inferlay_abi_status {
        refused()
    }

    /// No request is traced by this table yet, and a span of one that is not traced is null.
    fn span_begin(
        _request: *const inferlay_abi_request,
        _name: inferlay_abi_text,
        span: *mut *mut inferlay_abi_span,
    ) -> *const inferlay_abi_status {
        // SAFETY: the plugin's promise.
        unsafe { put(span, null_mut()) };
        std::ptr::null()
    }

    fn span_attribute(_span: *mut inferlay_abi_span, _name: inferlay_abi_text, _value: *const inferlay_abi_value) {}

    fn span_end(_span: *mut inferlay_abi_span) {}
}
