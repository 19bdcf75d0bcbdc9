// Quantity: a Kubernetes quantity ("10Gi", "1500m", "12e6"), exact to 10^-9 and up to 2^63-1, with
// the grammar, the rounding and the canonical form of k8s.io/apimachinery/pkg/api/resource. One
// difference: what is larger than 2^63-1 is refused, where Kubernetes caps it without a word.
// A value; thread-safe.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::api {

class Quantity {
 public:
  // The family of suffixes that a quantity was written with, and is written with again.
  enum class Format { kDecimalSi, kBinarySi, kDecimalExponent };

  Quantity() = default;
  static Quantity FromInt(int64_t value, Format format = Format::kDecimalSi);
  static Quantity FromBytes(int64_t bytes) { return FromInt(bytes, Format::kBinarySi); }

  // InvalidArgument says what is accepted. Digits finer than 10^-9 are rounded away from zero.
  static absl::StatusOr<Quantity> Parse(absl::string_view text);

  // Rounded away from zero to an integer, as resource.Quantity.Value does.
  int64_t Value() const;
  // As a floating-point number: for CEL's asApproximateFloat.
  double Approximate() const;
  bool IsInteger() const;

  // The canonical form: no fraction, the largest suffix that loses nothing.
  std::string ToString() const;

  // Both are compared and added as numbers; the sum is written like the left side.
  std::strong_ordering operator<=>(const Quantity& other) const;
  bool operator==(const Quantity& other) const { return nano_ == other.nano_; }
  // OutOfRange if the result does not fit.
  absl::StatusOr<Quantity> Plus(const Quantity& other) const;
  absl::StatusOr<Quantity> Minus(const Quantity& other) const;

 private:
  Quantity(absl::int128 nano, Format format) : nano_(nano), format_(format) {}

  absl::int128 nano_ = 0;  // 10^-9
  Format format_ = Format::kDecimalSi;
};

// The bytes that `text` stands for. InvalidArgument also for a negative number.
absl::StatusOr<int64_t> ParseBytes(absl::string_view text);
// FromBytes(bytes).ToString(): 1073741824 becomes 1Gi.
std::string FormatBytes(int64_t bytes);

}  // namespace ashlar::api
