//! llguidance behind a C interface of plain numbers, for WebAssembly.
//!
//! Texts and tables are passed as (address, length) in memory from `alloc`. Every object is an address that the caller frees.
//! A call that fails returns 0 (or a negative number) and leaves its message at `message_at`, `message_length`.

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::earley::SlicedBiasComputer;
use llguidance::{Matcher, ParserFactory};
use std::cell::RefCell;
use std::sync::Arc;

thread_local! {
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
    static MASK: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

fn say(message: String) {
    MESSAGE.with(|own| *own.borrow_mut() = message);
}

fn fail<T>(result: anyhow::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            say(format!("{error:#}"));
            None
        }
    }
}

#[no_mangle]
pub extern "C" fn message_at() -> *const u8 {
    MESSAGE.with(|own| own.borrow().as_ptr())
}

#[no_mangle]
pub extern "C" fn message_length() -> usize {
    MESSAGE.with(|own| own.borrow().len())
}

#[no_mangle]
pub extern "C" fn alloc(length: usize) -> *mut u8 {
    Box::leak(vec![0u8; length].into_boxed_slice()).as_mut_ptr()
}

/// # Safety
/// `at` and `length` are those of one `alloc`.
#[no_mangle]
pub unsafe extern "C" fn free(at: *mut u8, length: usize) {
    drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(at, length)));
}

/// Makes what all grammars of a vocabulary share.
///
/// bytes: those of all tokens, one after the other · ends: where each token ends · stops: tokens that end an answer, at least one
///
/// # Safety
/// The three tables are within memory, `ends` is sorted and within `bytes`.
#[no_mangle]
pub unsafe extern "C" fn vocabulary_new(
    bytes: *const u8,
    ends: *const u32,
    vocab_size: usize,
    stops: *const u32,
    num_stops: usize,
) -> *mut ParserFactory {
    let ends = std::slice::from_raw_parts(ends, vocab_size);
    let stops = std::slice::from_raw_parts(stops, num_stops);
    let bytes = std::slice::from_raw_parts(bytes, ends.last().map_or(0, |end| *end as usize));
    let mut at = 0;
    let words: Vec<Vec<u8>> = ends
        .iter()
        .map(|end| {
            let word = bytes[at..*end as usize].to_vec();
            at = *end as usize;
            word
        })
        .collect();
    let trie = TokTrie::from(&TokRxInfo::new(vocab_size as u32, stops[0]), &words).with_eos_tokens(stops);
    let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
    let factory = ParserFactory::new(&env, InferenceCapabilities::default(), &SlicedBiasComputer::general_slices());
    let Some(mut factory) = fail(factory) else {
        return std::ptr::null_mut();
    };
    factory.quiet();
    // What one grammar may take of the memory that all share: a state takes some 2 kB.
    *factory.limits_mut() = ParserLimits {
        max_lexer_states: 50_000,
        max_grammar_size: 200_000,
        verbose_errors: false,
        ..ParserLimits::default()
    };
    Box::into_raw(Box::new(factory))
}

/// # Safety
/// `vocabulary` is from `vocabulary_new` and used by nobody afterwards.
#[no_mangle]
pub unsafe extern "C" fn vocabulary_free(vocabulary: *mut ParserFactory) {
    drop(Box::from_raw(vocabulary));
}

/// Compiles a grammar. kind: 0 a JSON schema, 1 a regular expression, 2 Lark
///
/// # Safety
/// `vocabulary` is from `vocabulary_new`, and the text is within memory.
#[no_mangle]
pub unsafe extern "C" fn matcher_new(
    vocabulary: *const ParserFactory,
    kind: u32,
    text: *const u8,
    length: usize,
) -> *mut Matcher {
    let compile = || -> anyhow::Result<Matcher> {
        let text = std::str::from_utf8(std::slice::from_raw_parts(text, length))?;
        let grammar = match kind {
            0 => TopLevelGrammar::from_json_schema(serde_json::from_str(text)?),
            1 => TopLevelGrammar::from_regex(text),
            _ => TopLevelGrammar::from_lark(text.to_string()),
        };
        let mut matcher = Matcher::new((*vocabulary).create_parser(grammar));
        if let Some(error) = matcher.get_error() {
            anyhow::bail!(error);
        }
        // The first mask shows whether there is any text at all.
        if matcher.compute_mask_or_eos().map_or(true, |mask| mask.is_zero()) {
            anyhow::bail!("no text fits it");
        }
        say(matcher.grammar_warnings().join("\n"));
        Ok(matcher)
    };
    fail(compile()).map_or(std::ptr::null_mut(), |matcher| Box::into_raw(Box::new(matcher)))
}

/// # Safety
/// `matcher` is from `matcher_new` or `matcher_fork`.
#[no_mangle]
pub unsafe extern "C" fn matcher_fork(matcher: *const Matcher) -> *mut Matcher {
    Box::into_raw(Box::new((*matcher).clone()))
}

/// # Safety
/// As `matcher_fork`; nobody uses it afterwards.
#[no_mangle]
pub unsafe extern "C" fn matcher_free(matcher: *mut Matcher) {
    drop(Box::from_raw(matcher));
}

/// The tokens that may follow, a bit each, until the next call; 0 when it fails.
///
/// # Safety
/// As `matcher_fork`.
#[no_mangle]
pub unsafe extern "C" fn matcher_mask(matcher: *mut Matcher) -> *const u32 {
    let Some(mask) = fail((*matcher).compute_mask_or_eos()) else {
        return std::ptr::null();
    };
    MASK.with(|own| {
        let mut words = own.borrow_mut();
        words.clear();
        words.extend_from_slice(mask.as_slice());
        words.as_ptr()
    })
}

/// Goes on by a token. returns: 0, or −1 when it must not follow
///
/// # Safety
/// As `matcher_fork`.
#[no_mangle]
pub unsafe extern "C" fn matcher_advance(matcher: *mut Matcher, token: u32) -> i32 {
    fail((*matcher).consume_token(token)).map_or(-1, |()| 0)
}

/// Whether the text may end here (1), must end here (2), or neither (0).
///
/// # Safety
/// As `matcher_fork`.
#[no_mangle]
pub unsafe extern "C" fn matcher_end(matcher: *mut Matcher) -> i32 {
    if (*matcher).is_stopped() {
        return 2;
    }
    i32::from((*matcher).is_accepting().unwrap_or(false))
}
