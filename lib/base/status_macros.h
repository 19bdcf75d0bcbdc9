// ASHLAR_RETURN_IF_ERROR and ASHLAR_ASSIGN_OR_RETURN, in the shape of newer Abseil's.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#define ASHLAR_RETURN_IF_ERROR(expr)                                                    \
  do {                                                                                  \
    if (absl::Status ashlar_status = (expr); !ashlar_status.ok()) return ashlar_status; \
  } while (false)

#define ASHLAR_MACRO_CONCAT_INNER(a, b) a##b
#define ASHLAR_MACRO_CONCAT(a, b) ASHLAR_MACRO_CONCAT_INNER(a, b)

#define ASHLAR_ASSIGN_OR_RETURN(lhs, expr) \
  ASHLAR_ASSIGN_OR_RETURN_IMPL(ASHLAR_MACRO_CONCAT(ashlar_statusor_, __LINE__), lhs, expr)
#define ASHLAR_ASSIGN_OR_RETURN_IMPL(var, lhs, expr) \
  auto var = (expr);                                 \
  if (!var.ok()) return std::move(var).status();     \
  lhs = *std::move(var)

namespace ashlar {

// The same code with `context` and ": " before the message. OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace ashlar
