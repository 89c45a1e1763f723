//! The frame of the API's description, and what all operations have in common.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response,
    ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

/// Name of the security scheme in the description.
const BEARER: &str = "bearer";

/// Title, version and security scheme.
pub(super) fn frame() -> OpenApi {
    let mut components = Components::new();
    components.add_security_scheme(
        BEARER,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "The server's admin token, or a token made by `POST /tokens`. An open server \
                     (all its listeners on loopback) needs none.",
                ))
                .build(),
        ),
    );
    components.schemas.insert(
        inver_proto::Problem::name().into(),
        inver_proto::Problem::schema(),
    );
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Inver control API")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Rooms, participants, sessions, stream keys, tokens and events of one server. \
                     Errors are problems (RFC 9457). Times are RFC 3339 in UTC, numbers stay \
                     below 2^53, and what is not known is absent.",
                ))
                .build(),
        )
        .components(Some(components))
        .build()
}

/// Adds the errors that operations have in common, by what they take.
pub(super) fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let names_something = path.contains('{');
        for (operation, changes) in operations(item) {
            let has_body = operation.request_body.is_some();
            let secured = operation.security.is_some();
            let rows = [
                (
                    names_something || has_body,
                    "400",
                    "The request makes no sense.",
                ),
                (secured, "401", "Credentials are missing or not known."),
                (
                    secured,
                    "403",
                    "The credentials are good, for something else; or an open server was asked by a foreign Host or Origin.",
                ),
                (names_something, "404", "What the URL names does not exist."),
                (has_body, "413", "The body is too large."),
                (has_body, "415", "The body is no JSON by its Content-Type."),
                (
                    has_body,
                    "422",
                    "The body is JSON with values that do not fit.",
                ),
                (
                    changes,
                    "429",
                    "Too many requests; Retry-After says when to come back.",
                ),
                (
                    true,
                    "503",
                    "The server cannot do it now; Retry-After says when to come back.",
                ),
            ];
            for (applies, status, description) in rows {
                if applies {
                    operation
                        .responses
                        .responses
                        .entry(status.to_owned())
                        .or_insert_with(|| RefOr::T(problem(description)));
                }
            }
        }
    }
}

/// Every operation, and whether it changes something.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&mut Operation, bool)> {
    [
        (item.get.as_mut(), false),
        (item.post.as_mut(), true),
        (item.put.as_mut(), true),
        (item.delete.as_mut(), true),
    ]
    .into_iter()
    .filter_map(|(operation, changes)| Some((operation?, changes)))
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name(inver_proto::Problem::name());
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build()
}
