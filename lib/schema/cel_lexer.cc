#include "lib/schema/cel_lexer.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::schema::cel {
namespace {

constexpr size_t kMaxSource = 10 * 1024;

void AppendUtf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

class Lexer {
 public:
  explicit Lexer(absl::string_view source) : source_(source) {}

  absl::StatusOr<std::vector<Token>> Run() {
    std::vector<Token> tokens;
    for (;;) {
      SkipSpace();
      Token token;
      token.position = at_;
      if (at_ == source_.size()) {
        tokens.push_back(std::move(token));
        return tokens;
      }
      ASHLAR_RETURN_IF_ERROR(Next(token));
      tokens.push_back(std::move(token));
    }
  }

 private:
  absl::Status Refuse(absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat("at byte ", at_, ": ", why));
  }

  char Peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  void SkipSpace() {
    for (;;) {
      while (at_ < source_.size() && absl::ascii_isspace(source_[at_])) ++at_;
      if (Peek() != '/' || Peek(1) != '/') return;
      while (at_ < source_.size() && source_[at_] != '\n') ++at_;
    }
  }

  absl::Status Next(Token& token) {
    const char c = Peek();
    const char quote = absl::ascii_tolower(c) == 'r' ? Peek(1) : c;
    if (quote == '"' || quote == '\'') return String(token);
    const bool bytes = absl::ascii_tolower(c) == 'b' && (Peek(1) == '"' || Peek(1) == '\'');
    if (bytes) return Refuse("bytes are not supported");
    if (absl::ascii_isalpha(c) || c == '_') {
      token.kind = Token::Kind::kIdentifier;
      while (absl::ascii_isalnum(Peek()) || Peek() == '_') token.text += source_[at_++];
      return absl::OkStatus();
    }
    if (absl::ascii_isdigit(c) || (c == '.' && absl::ascii_isdigit(Peek(1)))) return Number(token);
    return Symbol(token);
  }

  absl::Status Symbol(Token& token) {
    token.kind = Token::Kind::kSymbol;
    for (absl::string_view symbol :
         {"==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "?", ":", "+",
          "-",  "*",  "/",  "%",  "(",  ")",  "[", "]", "{", "}", ",", "."}) {
      if (!absl::StartsWith(source_.substr(at_), symbol)) continue;
      token.text = std::string(symbol);
      at_ += symbol.size();
      return absl::OkStatus();
    }
    return Refuse("this character is not part of the language");
  }

  absl::Status Number(Token& token) {
    token.kind = Token::Kind::kLiteral;
    const size_t start = at_;
    const bool hex = Peek() == '0' && absl::ascii_tolower(Peek(1)) == 'x';
    if (hex) at_ += 2;
    bool fraction = false;
    for (;; ++at_) {
      const char c = Peek();
      const bool exponent = !hex && absl::ascii_tolower(c) == 'e';
      fraction = fraction || exponent || c == '.';
      if (exponent && (Peek(1) == '+' || Peek(1) == '-')) ++at_;
      if (!exponent && c != '.' && !(hex ? absl::ascii_isxdigit(c) : absl::ascii_isdigit(c))) break;
    }
    const absl::string_view text = source_.substr(start, at_ - start);
    if (absl::ascii_tolower(Peek()) == 'u') return Refuse("unsigned numbers are not supported");
    int64_t integer = 0;
    double number = 0;
    if (!fraction && (hex ? absl::SimpleHexAtoi(text, &integer) : absl::SimpleAtoi(text, &integer)))
      token.literal = integer;
    else if (fraction && !hex && absl::SimpleAtod(text, &number))
      token.literal = number;
    else
      return Refuse(absl::StrCat("\"", text, "\" is not a number of 64 bits"));
    return absl::OkStatus();
  }

  absl::Status String(Token& token) {
    token.kind = Token::Kind::kLiteral;
    const bool raw = absl::ascii_isalpha(Peek());
    if (raw) ++at_;
    std::string quote(1, Peek());
    if (Peek(1) == quote[0] && Peek(2) == quote[0]) quote = std::string(3, quote[0]);
    at_ += quote.size();
    std::string text;
    while (!absl::StartsWith(source_.substr(at_), quote)) {
      if (at_ >= source_.size() || (quote.size() == 1 && Peek() == '\n'))
        return Refuse("the string has no end");
      if (Peek() == '\\' && !raw)
        ASHLAR_RETURN_IF_ERROR(Escape(text));
      else
        text += source_[at_++];
    }
    at_ += quote.size();
    token.literal = std::move(text);
    return absl::OkStatus();
  }

  absl::Status Escape(std::string& text) {
    ++at_;
    const char c = Peek();
    ++at_;
    constexpr absl::string_view kFrom = "abfnrtv\\'\"`?";
    constexpr absl::string_view kTo = "\a\b\f\n\r\t\v\\'\"`?";
    if (const size_t i = kFrom.find(c); c != '\0' && i != absl::string_view::npos) {
      text += kTo[i];
      return absl::OkStatus();
    }
    const size_t digits = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t code = 0;
    if (digits == 0 || at_ + digits > source_.size() ||
        !absl::SimpleHexAtoi(source_.substr(at_, digits), &code) || code > 0x10FFFF ||
        (code >= 0xD800 && code < 0xE000))
      return Refuse("this escape in a string is not supported");
    at_ += digits;
    AppendUtf8(code, text);
    return absl::OkStatus();
  }

  absl::string_view source_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source) {
  if (source.size() > kMaxSource)
    return absl::InvalidArgumentError("the rule is longer than 10 KiB");
  return Lexer(source).Run();
}

}  // namespace ashlar::schema::cel
