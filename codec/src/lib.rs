//! Opus, and nothing else, behind our own types: mono 16-bit PCM in, packets out, and back.
//!
//! A codec's state is an [`Encoder`] or a [`Decoder`] of one stream. It may move between threads
//! but must see its packets one at a time and in order; a packet decoded with the state of another
//! stream gives other sound, which is how the harness finds out. Resampling, silence detection and
//! the choice of settings are deliberately absent.
//!
//! Behind it stands libopus through audiopus. Which libopus that is depends on the machine that
//! built the program, and so do speed and bytes: print [`library_version`] beside every number.

mod decoder;
mod encoder;
mod error;
mod settings;
#[cfg(test)]
mod voice;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::{CodecError, LibraryError};
pub use settings::{Application, Bitrate, Complexity, EncoderSettings, SettingsError};

/// The name and version of the library that does the work: `libopus 1.3.1`.
///
/// A copy that audiopus compiled itself, for want of an installed one, says `libopus unknown`.
pub fn library_version() -> String {
    audiopus::version().to_owned()
}

/// Our rate as audiopus wants it.
fn opus_rate(rate: protocol::SampleRate) -> audiopus::SampleRate {
    let hertz = i32::try_from(rate.as_hertz()).ok();
    let rate = hertz.and_then(|hertz| audiopus::SampleRate::try_from(hertz).ok());
    rate.expect("SampleRate holds only the five rates of Opus")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_names_itself() {
        assert!(library_version().starts_with("libopus "));
    }

    #[test]
    fn codecs_may_move_between_threads() {
        fn moves<T: Send>() {}
        moves::<Encoder>();
        moves::<Decoder>();
    }
}
