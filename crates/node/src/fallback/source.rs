//! What is shown in a publisher's place.

use inver_control::Secret;

use crate::restream::{Address, file_below};

/// Kinds of pictures that are read.
const PICTURES: [&str; 3] = ["jpg", "jpeg", "png"];

/// What is shown in a publisher's place. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum FallbackSource {
    /// A picture in the folder for files, by its path below it.
    Picture(String),
    /// Another source, or a film from that folder which is played in a loop.
    Stream(Address),
}

impl FallbackSource {
    /// Parses an address.
    ///
    /// # Errors
    /// Says what is wrong and what would be right, without repeating the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let file = text
            .get(..5)
            .filter(|scheme| scheme.eq_ignore_ascii_case("file:"));
        let rest = file.and_then(|_| text.get(5..));
        let is_picture = |path: &&str| {
            let kind = path.rsplit_once('.').map(|(_, kind)| kind);
            kind.is_some_and(|kind| {
                PICTURES
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(kind))
            })
        };
        if let Some(path) = rest.filter(is_picture) {
            return file_below(path).map(Self::Picture);
        }
        let wrong = |wrong: String| match rest {
            Some(_) => format!("{wrong}; a picture's name ends in .jpg, .jpeg or .png"),
            None => wrong,
        };
        match Address::of_pull(text).map_err(wrong)? {
            // What comes over WebRTC is no feed, of which alone stand-ins are made.
            Address::Whep(_) => {
                Err("a room's WHEP URL cannot stand in; RTMP, RTSP, SRT and files can".to_owned())
            }
            address => Ok(Self::Stream(address)),
        }
    }

    pub(crate) fn of(url: &Secret) -> Result<Self, String> {
        Self::parse(url.reveal())
    }

    /// Whether it lies in the folder for files.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::Picture(_) | Self::Stream(Address::File(_)))
    }

    /// Host and port, where it is on the network.
    pub(crate) fn address(&self) -> Option<&Address> {
        match self {
            Self::Picture(_) => None,
            Self::Stream(address) => Some(address),
        }
    }

    /// The address as everybody may see it.
    pub fn shown(&self) -> String {
        match self {
            Self::Picture(path) => format!("file:{path}"),
            Self::Stream(address) => address.shown(),
        }
    }

    /// A text about it without what is secret.
    pub fn hide(&self, text: &str) -> String {
        match self {
            Self::Picture(_) => text.to_owned(),
            Self::Stream(address) => address.hide(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_films_and_sources_are_told_apart() {
        for (url, shown, picture) in [
            ("file:slate.png", "file:slate.png", true),
            (" file:shows/slate.JPG ", "file:shows/slate.JPG", true),
            ("FILE:slate.jpeg", "file:slate.jpeg", true),
            ("file:loop.ts", "file:loop.ts", false),
            ("rtmp://h/app/geheim", "rtmp://h:1935/app/***", false),
            ("rtsp://u:geheim@h/geheim", "rtsp://h:554/***", false),
        ] {
            let source = FallbackSource::parse(url).expect(url);
            assert_eq!(source.shown(), shown, "{url}");
            assert_eq!(
                matches!(source, FallbackSource::Picture(_)),
                picture,
                "{url}"
            );
        }
        for url in [
            "file:../slate.png",
            "file:/etc/slate.png",
            "file:.png",
            "file:slate.gif",
            "slate.png",
            "http://h/slate.png",
            "",
        ] {
            assert!(FallbackSource::parse(url).is_err(), "{url}");
        }
    }
}
