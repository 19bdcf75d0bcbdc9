#include "lib/schema/cel_functions.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "re2/re2.h"

namespace ashlar::schema::cel {
namespace {

using api::Quantity;
using ValueOr = absl::StatusOr<Value>;

std::string TypeName(const Value& value) {
  if (value.quantity()) return "quantity";
  const Json& json = value.json();
  if (json.is_number_integer()) return "int";
  if (json.is_number()) return "double";
  if (json.is_object()) return "map";
  if (json.is_array()) return "list";
  return json.type_name();
}

absl::Status NoOverload(absl::string_view name, const std::vector<const Value*>& values) {
  std::string types;
  for (const Value* value : values)
    absl::StrAppend(&types, types.empty() ? "" : ", ", TypeName(*value));
  return absl::InvalidArgumentError(absl::StrCat("no such overload: ", name, "(", types, ")"));
}

ValueOr Bool(bool value) { return Value::Own(value); }
ValueOr Int(int64_t value) { return Value::Own(value); }

int64_t CodePoints(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

ValueOr Size(const Value& value) {
  const Json& json = value.json();
  if (json.is_string()) return Int(CodePoints(json.get_ref<const std::string&>()));
  if (json.is_structured()) return Int(static_cast<int64_t>(json.size()));
  return NoOverload("size", {&value});
}

ValueOr ToText(const Value& value) {
  const Json& json = value.json();
  if (json.is_string()) return value;
  if (json.is_number() || json.is_boolean()) return Value::Own(json.dump());
  return NoOverload("string", {&value});
}

ValueOr ToInt(const Value& value) {
  const Json& json = value.json();
  if (json.is_number_integer()) return value;
  int64_t integer = 0;
  if (json.is_string()) {
    if (absl::SimpleAtoi(json.get_ref<const std::string&>(), &integer)) return Int(integer);
    return absl::InvalidArgumentError("the text is not an integer");
  }
  if (!json.is_number()) return NoOverload("int", {&value});
  const double number = json.get<double>();
  if (!(std::abs(number) < 9.2e18)) return absl::InvalidArgumentError("integer overflow");
  return Int(static_cast<int64_t>(number));
}

ValueOr ToDouble(const Value& value) {
  const Json& json = value.json();
  double number = 0;
  if (json.is_number()) return Value::Own(json.get<double>());
  if (json.is_string() && absl::SimpleAtod(json.get_ref<const std::string&>(), &number))
    return Value::Own(number);
  return NoOverload("double", {&value});
}

ValueOr TextMethod(absl::string_view name, const Value& receiver, const Value& argument) {
  if (!receiver.json().is_string() || !argument.json().is_string())
    return NoOverload(name, {&receiver, &argument});
  const auto& text = receiver.json().get_ref<const std::string&>();
  const auto& part = argument.json().get_ref<const std::string&>();
  if (name == "startsWith") return Bool(absl::StartsWith(text, part));
  if (name == "endsWith") return Bool(absl::EndsWith(text, part));
  if (name == "contains") return Bool(absl::StrContains(text, part));
  const RE2 pattern(part, RE2::Quiet);
  if (!pattern.ok())
    return absl::InvalidArgumentError(absl::StrCat("\"", part, "\": ", pattern.error()));
  return Bool(RE2::PartialMatch(text, pattern));
}

ValueOr QuantityMethod(absl::string_view name, const Quantity& left, const Value* argument) {
  if (argument == nullptr) {
    if (name == "isInteger") return Bool(left.IsInteger());
    if (name == "asApproximateFloat") return Value::Own(left.Approximate());
    if (left.IsInteger()) return Int(left.Value());
    return absl::InvalidArgumentError("the quantity is not an integer");
  }
  const bool number = argument->json().is_number_integer();
  if (!argument->quantity() && !number) return NoOverload(name, {argument});
  const Quantity right =
      number ? Quantity::FromInt(argument->json().get<int64_t>()) : *argument->quantity();
  if (name == "isGreaterThan") return Bool(left > right);
  if (name == "isLessThan") return Bool(left < right);
  if (name == "compareTo") return Int(left < right ? -1 : left == right ? 0 : 1);
  ASHLAR_ASSIGN_OR_RETURN(const Quantity sum, name == "add" ? left.Plus(right) : left.Minus(right));
  return Value::Of(sum);
}

ValueOr Compare(absl::string_view symbol, const Value& left, const Value& right) {
  const Json& a = left.json();
  const Json& b = right.json();
  const bool comparable = (a.is_number() && b.is_number()) || (a.is_string() && b.is_string()) ||
                          (a.is_boolean() && b.is_boolean());
  if (!comparable) return NoOverload(symbol, {&left, &right});
  if (symbol == "<") return Bool(a < b);
  if (symbol == "<=") return Bool(a <= b);
  if (symbol == ">") return Bool(a > b);
  return Bool(a >= b);
}

ValueOr In(const Value& left, const Value& right) {
  const Json& list = right.json();
  if (list.is_array()) return Bool(std::find(list.begin(), list.end(), left.json()) != list.end());
  if (list.is_object() && left.json().is_string())
    return Bool(list.contains(left.json().get_ref<const std::string&>()));
  return NoOverload("in", {&left, &right});
}

ValueOr IntegerArithmetic(char symbol, int64_t a, int64_t b) {
  int64_t result = 0;
  if (symbol == '/' || symbol == '%') {
    if (b == 0) return absl::InvalidArgumentError("division by zero");
    if (b == -1) {  // the only divisor whose quotient can overflow
      if (symbol == '%') return Int(0);
      if (!__builtin_sub_overflow(int64_t{0}, a, &result)) return Int(result);
      return absl::InvalidArgumentError("integer overflow");
    }
    return Int(symbol == '/' ? a / b : a % b);
  }
  const bool overflow = symbol == '+'   ? __builtin_add_overflow(a, b, &result)
                        : symbol == '-' ? __builtin_sub_overflow(a, b, &result)
                                        : __builtin_mul_overflow(a, b, &result);
  if (overflow) return absl::InvalidArgumentError("integer overflow");
  return Int(result);
}

ValueOr Arithmetic(absl::string_view symbol, const Value& left, const Value& right) {
  const Json& a = left.json();
  const Json& b = right.json();
  if (a.is_number_integer() && b.is_number_integer())
    return IntegerArithmetic(symbol[0], a.get<int64_t>(), b.get<int64_t>());
  if (symbol == "+" && a.is_string() && b.is_string())
    return Value::Own(a.get<std::string>() + b.get<std::string>());
  if (symbol == "+" && a.is_array() && b.is_array()) {
    Json list = a;
    list.insert(list.end(), b.begin(), b.end());
    return Value::Own(std::move(list));
  }
  if (a.is_number_float() && b.is_number_float() && symbol != "%") {
    const double x = a.get<double>();
    const double y = b.get<double>();
    return Value::Own(symbol == "+"   ? x + y
                      : symbol == "-" ? x - y
                      : symbol == "*" ? x * y
                                      : x / y);
  }
  return NoOverload(symbol, {&left, &right});
}

bool OneOf(absl::string_view name, std::initializer_list<absl::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

bool IsFunction(absl::string_view name, size_t arguments) {
  return arguments == 1 &&
         OneOf(name, {"size", "string", "int", "double", "quantity", "isQuantity", "sign"});
}

bool IsMethod(absl::string_view name, size_t arguments) {
  if (arguments == 0) return OneOf(name, {"size", "isInteger", "asInteger", "asApproximateFloat"});
  return arguments == 1 && OneOf(name, {"startsWith", "endsWith", "contains", "matches",
                                        "isGreaterThan", "isLessThan", "compareTo", "add", "sub"});
}

bool IsMacro(absl::string_view name) {
  return OneOf(name, {"all", "exists", "exists_one", "filter", "map"});
}

ValueOr CallFunction(absl::string_view name, const std::vector<Value>& arguments) {
  const Value& argument = arguments[0];
  if (name == "size") return Size(argument);
  if (name == "string") return ToText(argument);
  if (name == "int") return ToInt(argument);
  if (name == "double") return ToDouble(argument);
  if (name == "sign" && argument.quantity()) {
    const Quantity& quantity = *argument.quantity();
    return Int(quantity < Quantity() ? -1 : quantity == Quantity() ? 0 : 1);
  }
  if (name == "sign" || !argument.json().is_string()) return NoOverload(name, {&argument});
  const auto quantity = Quantity::Parse(argument.json().get_ref<const std::string&>());
  if (name == "isQuantity") return Bool(quantity.ok());
  if (!quantity.ok()) return quantity.status();
  return Value::Of(*quantity);
}

ValueOr CallMethod(absl::string_view name, const Value& receiver,
                   const std::vector<Value>& arguments) {
  if (name == "size") return Size(receiver);
  const Value* argument = arguments.empty() ? nullptr : &arguments[0];
  if (receiver.quantity()) {
    if (argument != nullptr && IsMethod(name, 1) &&
        OneOf(name, {"startsWith", "endsWith", "contains", "matches"}))
      return NoOverload(name, {&receiver, argument});
    return QuantityMethod(name, *receiver.quantity(), argument);
  }
  if (argument == nullptr || !OneOf(name, {"startsWith", "endsWith", "contains", "matches"}))
    return NoOverload(name, {&receiver});
  return TextMethod(name, receiver, *argument);
}

ValueOr ApplyOperator(absl::string_view symbol, const Value& left, const Value& right) {
  if (symbol == "==") return Bool(left == right);
  if (symbol == "!=") return Bool(!(left == right));
  if (symbol == "in") return In(left, right);
  if (OneOf(symbol, {"<", "<=", ">", ">="})) return Compare(symbol, left, right);
  return Arithmetic(symbol, left, right);
}

}  // namespace ashlar::schema::cel
