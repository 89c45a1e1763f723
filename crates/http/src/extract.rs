//! Extractors whose refusals are problems, and the form of yes-or-no parameters.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path as AxumPath, Query as AxumQuery};
use serde::Deserialize;

use crate::Problem;

/// Path parameters; a name that does not fit is a 400.
#[derive(Debug, Clone, FromRequestParts)]
#[from_request(via(AxumPath), rejection(Problem))]
pub struct Path<T>(pub T);

/// Query parameters; a value that does not fit is a 400.
#[derive(Debug, Clone, FromRequestParts)]
#[from_request(via(AxumQuery), rejection(Problem))]
pub struct Query<T>(pub T);

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

/// A yes-or-no query parameter: `?wait`, `?wait=1` and `?wait=true` mean yes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Flag(pub bool);

impl TryFrom<String> for Flag {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "" | "1" | "true" | "yes" => Ok(Self(true)),
            "0" | "false" | "no" => Ok(Self(false)),
            _ => Err(format!("{text:?} is neither 1 nor 0")),
        }
    }
}
