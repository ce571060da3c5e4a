//! What one merchant does, beside another one's callbacks.

mod bulk;
