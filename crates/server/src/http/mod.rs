//! Serving HTTP: the accept loop, pages, headers, operations. The doors bring their own routes.

pub mod base_path;
pub mod linger;
pub mod observe;
pub mod operations;
pub mod pages;
pub mod redirect;
pub mod serve;
