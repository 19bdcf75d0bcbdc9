// The words of a rule in the Common Expression Language. Internal to lib/schema.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::schema::cel {

struct Token {
  enum class Kind { kIdentifier, kLiteral, kSymbol, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;  // of an identifier or symbol
  Json literal;      // of a literal: string, integer or number
  size_t position = 0;
};

// The last token is kEnd. InvalidArgument says what is wrong and at which byte.
absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source);

}  // namespace ashlar::schema::cel
