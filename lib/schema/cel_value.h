// A value while a rule is evaluated: JSON, or a quantity. Internal to lib/schema.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "lib/api/quantity.h"
#include "lib/base/json.h"

namespace ashlar::schema::cel {

class Value {
 public:
  // Refers to `json`, which must live as long as the evaluation.
  static Value Borrow(const Json& json) { return Value(nullptr, &json); }
  static Value Own(Json json) {
    auto owned = std::make_shared<const Json>(std::move(json));
    const Json* at = owned.get();
    return Value(std::move(owned), at);
  }
  static Value Of(api::Quantity quantity) {
    Value value = Own(nullptr);
    value.quantity_ = quantity;
    return value;
  }
  // A part of this value; shares its ownership.
  Value Part(const Json& json) const { return Value(owned_, &json); }

  // Null for a quantity.
  const Json& json() const { return *json_; }
  const std::optional<api::Quantity>& quantity() const { return quantity_; }

  friend bool operator==(const Value& a, const Value& b) {
    if (a.quantity_ || b.quantity_) return a.quantity_ == b.quantity_;
    return *a.json_ == *b.json_;
  }

 private:
  Value(std::shared_ptr<const Json> owned, const Json* json)
      : owned_(std::move(owned)), json_(json) {}

  std::shared_ptr<const Json> owned_;
  const Json* json_;
  std::optional<api::Quantity> quantity_;
};

}  // namespace ashlar::schema::cel
