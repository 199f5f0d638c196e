//! The Markdown that our runbooks are written in, as HTML: headings, paragraphs, lists, `**bold**` and code. All else is text.

use std::fmt;

/// A page in Markdown, without its title, which the page around it shows.
pub(super) struct Markdown<'a>(pub(super) &'a str);

impl askama::filters::HtmlSafe for Markdown<'_> {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    Paragraph,
    List,
}

impl Block {
    const fn end(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Paragraph => "</p>",
            Self::List => "</li></ul>",
        }
    }
}

impl fmt::Display for Markdown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut open = Block::None;
        for line in self.0.lines().map(str::trim_end) {
            let (block, begin, text) = if let Some(heading) = line.strip_prefix("## ") {
                write!(f, "{}<h2>", open.end())?;
                inline(f, heading)?;
                f.write_str("</h2>")?;
                (Block::None, "", "")
            } else if line.is_empty() || line.starts_with("# ") {
                f.write_str(open.end())?;
                (Block::None, "", "")
            } else if let Some(item) = line.strip_prefix("- ") {
                let begin = if open == Block::List { "</li><li>" } else { "<ul><li>" };
                if open == Block::Paragraph {
                    f.write_str(open.end())?;
                }
                (Block::List, begin, item)
            } else {
                match open {
                    Block::None => (Block::Paragraph, "<p>", line),
                    Block::Paragraph | Block::List => (open, " ", line.trim_start()),
                }
            };
            f.write_str(begin)?;
            inline(f, text)?;
            open = block;
        }
        f.write_str(open.end())
    }
}

/// A sentence with bold and code, such as our messages are.
pub(super) struct Inline<'a>(pub(super) &'a str);

impl askama::filters::HtmlSafe for Inline<'_> {}

impl fmt::Display for Inline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        inline(f, self.0)
    }
}

/// A text with bold and code. A mark without its end stands for itself.
fn inline(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(['*', '`']) {
        let (before, marked) = rest.split_at(at);
        escaped(f, before)?;
        let (mark, tag) = if marked.starts_with("**") { ("**", "strong") } else { ("`", "code") };
        let inner = marked.strip_prefix(mark).and_then(|inner| inner.split_once(mark));
        match inner {
            Some((inner, after)) if !inner.is_empty() => {
                write!(f, "<{tag}>")?;
                escaped(f, inner)?;
                write!(f, "</{tag}>")?;
                rest = after;
            }
            Some(_) | None => {
                let (mark, after) = marked.split_at(1);
                f.write_str(mark)?;
                rest = after;
            }
        }
    }
    escaped(f, rest)
}

fn escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for letter in text.chars() {
        match letter {
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '&' => f.write_str("&amp;")?,
            '"' => f.write_str("&quot;")?,
            letter => write!(f, "{letter}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runbooks_use_is_shown_and_all_else_is_text() {
        for (text, html) in [
            ("# Title\n\nOne\ntwo.\n", "<p>One two.</p>"),
            ("## Do `it` & go", "<h2>Do <code>it</code> &amp; go</h2>"),
            ("- a\n- **b**\n  c\n\nd", "<ul><li>a</li><li><strong>b</strong> c</li></ul><p>d</p>"),
            ("x\n- y", "<p>x</p><ul><li>y</li></ul>"),
            ("2 * 3 ** 4 `x", "<p>2 * 3 ** 4 `x</p>"),
            (
                "<script>**<b>**</script>",
                "<p>&lt;script&gt;<strong>&lt;b&gt;</strong>&lt;/script&gt;</p>",
            ),
        ] {
            assert_eq!(Markdown(text).to_string(), html, "{text}");
        }
    }

    #[test]
    fn a_sentence_shows_what_it_quotes_as_code_and_no_markup() {
        let said = Inline("`?from`: `<b>` is no time").to_string();
        assert_eq!(said, "<code>?from</code>: <code>&lt;b&gt;</code> is no time");
    }
}
