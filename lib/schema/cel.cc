#include "lib/schema/cel.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/schema/cel_ast.h"
#include "lib/schema/cel_functions.h"

namespace ashlar::schema {
namespace cel {
namespace {

using ValueOr = absl::StatusOr<Value>;
constexpr int kMaxSteps = 1'000'000;

struct Variable {
  const std::string* name;
  Value value;
};

class Evaluator {
 public:
  Evaluator(const Json& self, const Json* old_self) : self_(self), old_self_(old_self) {}

  ValueOr Evaluate(const Node& node) {
    if (++steps_ > kMaxSteps)
      return absl::ResourceExhaustedError("the rule takes more than 1000000 steps");
    switch (node.kind) {
      case Node::Kind::kLiteral:
        return Value::Borrow(node.literal);
      case Node::Kind::kIdentifier:
        return Identifier(node);
      case Node::Kind::kSelect:
      case Node::Kind::kHas:
        return Select(node);
      case Node::Kind::kIndex:
        return Index(node);
      case Node::Kind::kCall:
      case Node::Kind::kMethod:
        return Call(node);
      case Node::Kind::kMacro:
        return Macro(node);
      case Node::Kind::kOperator:
        return Operator(node);
      case Node::Kind::kList:
      case Node::Kind::kMap:
        return Collection(node);
    }
    return absl::InternalError("unknown node");
  }

 private:
  ValueOr Identifier(const Node& node) {
    for (auto variable = variables_.rbegin(); variable != variables_.rend(); ++variable) {
      if (*variable->name == node.name) return variable->value;
    }
    if (node.name == "self") return Value::Borrow(self_);
    if (old_self_ == nullptr) return absl::InvalidArgumentError("there is no old value");
    return Value::Borrow(*old_self_);
  }

  ValueOr Select(const Node& node) {
    ASHLAR_ASSIGN_OR_RETURN(const Value object, Evaluate(*node.children[0]));
    if (!object.json().is_object())
      return absl::InvalidArgumentError(absl::StrCat("no such overload: ", node.name));
    const auto found = object.json().find(node.name);
    if (node.kind == Node::Kind::kHas)
      return Value::Own(found != object.json().end() && !found->is_null());
    if (found == object.json().end())
      return absl::InvalidArgumentError(absl::StrCat("no such key: ", node.name));
    return object.Part(*found);
  }

  ValueOr Index(const Node& node) {
    ASHLAR_ASSIGN_OR_RETURN(const Value object, Evaluate(*node.children[0]));
    ASHLAR_ASSIGN_OR_RETURN(const Value key, Evaluate(*node.children[1]));
    const Json& json = object.json();
    if (json.is_array() && key.json().is_number_integer()) {
      const auto at = key.json().get<int64_t>();
      if (at < 0 || at >= static_cast<int64_t>(json.size()))
        return absl::InvalidArgumentError(absl::StrCat("index out of bounds: ", at));
      return object.Part(json[static_cast<size_t>(at)]);
    }
    if (json.is_object() && key.json().is_string()) {
      const auto found = json.find(key.json().get_ref<const std::string&>());
      if (found != json.end()) return object.Part(*found);
      return absl::InvalidArgumentError(absl::StrCat("no such key: ", DumpJson(key.json())));
    }
    return absl::InvalidArgumentError("no such overload: []");
  }

  ValueOr Call(const Node& node) {
    std::vector<Value> values;
    for (const auto& child : node.children) {
      ASHLAR_ASSIGN_OR_RETURN(Value value, Evaluate(*child));
      values.push_back(std::move(value));
    }
    if (node.kind == Node::Kind::kCall) return CallFunction(node.name, values);
    const Value receiver = values.front();
    values.erase(values.begin());
    return CallMethod(node.name, receiver, values);
  }

  ValueOr Collection(const Node& node) {
    const bool map = node.kind == Node::Kind::kMap;
    Json json = map ? Json::object() : Json::array();
    for (size_t i = 0; i < node.children.size(); i += map ? 2 : 1) {
      ASHLAR_ASSIGN_OR_RETURN(const Value value, Evaluate(*node.children[i]));
      if (value.quantity()) return absl::InvalidArgumentError("a quantity cannot be put in a list");
      if (!map) {
        json.push_back(value.json());
        continue;
      }
      if (!value.json().is_string())
        return absl::InvalidArgumentError("a key of a map must be a string");
      ASHLAR_ASSIGN_OR_RETURN(const Value member, Evaluate(*node.children[i + 1]));
      if (member.quantity()) return absl::InvalidArgumentError("a quantity cannot be put in a map");
      json[value.json().get<std::string>()] = member.json();
    }
    return Value::Own(std::move(json));
  }

  // && and || have their result from one side alone if that decides, whatever becomes of the other.
  ValueOr Logical(const Node& node) {
    const bool decides = node.name == "||";
    absl::Status error;
    for (const auto& child : node.children) {
      const ValueOr side = Evaluate(*child);
      if (side.ok() && side->json().is_boolean()) {
        if (side->json().get<bool>() == decides) return Value::Own(decides);
      } else {
        error = side.ok()
                    ? absl::InvalidArgumentError(absl::StrCat("no such overload: ", node.name))
                    : side.status();
      }
    }
    if (!error.ok()) return error;
    return Value::Own(!decides);
  }

  ValueOr Operator(const Node& node) {
    if (node.name == "&&" || node.name == "||") return Logical(node);
    ASHLAR_ASSIGN_OR_RETURN(const Value left, Evaluate(*node.children[0]));
    if (node.name == "?") {
      if (!left.json().is_boolean()) return absl::InvalidArgumentError("no such overload: ?:");
      return Evaluate(*node.children[left.json().get<bool>() ? 1 : 2]);
    }
    if (node.children.size() == 1) return Unary(node.name, left);
    ASHLAR_ASSIGN_OR_RETURN(const Value right, Evaluate(*node.children[1]));
    return ApplyOperator(node.name, left, right);
  }

  static ValueOr Unary(const std::string& symbol, const Value& operand) {
    const Json& json = operand.json();
    if (symbol == "!" && json.is_boolean()) return Value::Own(!json.get<bool>());
    if (symbol == "-" && json.is_number_float()) return Value::Own(-json.get<double>());
    if (symbol == "-" && json.is_number_integer())
      return ApplyOperator("-", Value::Own(0), operand);
    return absl::InvalidArgumentError(absl::StrCat("no such overload: ", symbol));
  }

  // The elements of a list, or the keys of a map.
  static absl::StatusOr<std::vector<Value>> Elements(const Value& range) {
    std::vector<Value> elements;
    if (range.json().is_array()) {
      for (const Json& element : range.json()) elements.push_back(range.Part(element));
    } else if (range.json().is_object()) {
      for (const auto& [key, value] : range.json().items()) elements.push_back(Value::Own(key));
    } else {
      return absl::InvalidArgumentError("only lists and maps have elements");
    }
    return elements;
  }

  ValueOr Macro(const Node& node) {
    ASHLAR_ASSIGN_OR_RETURN(const Value range, Evaluate(*node.children[0]));
    ASHLAR_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(range));
    Json list = Json::array();
    int held = 0;
    absl::Status error;
    for (const Value& element : elements) {
      variables_.push_back({&node.variable, element});
      const ValueOr body = Evaluate(*node.children[1]);
      variables_.pop_back();
      const bool is_map = node.name == "map";
      if (!body.ok() || (!is_map && !body->json().is_boolean())) {
        error = body.ok() ? absl::InvalidArgumentError("the body of a macro must be a boolean")
                          : body.status();
        continue;
      }
      const bool holds = is_map || body->json().get<bool>();
      if (node.name == "all" && !holds) return Value::Own(false);
      if (node.name == "exists" && holds) return Value::Own(true);
      held += holds ? 1 : 0;
      if (holds) list.push_back(is_map ? body->json() : element.json());
    }
    if (!error.ok()) return error;
    if (node.name == "all") return Value::Own(true);
    if (node.name == "exists") return Value::Own(false);
    if (node.name == "exists_one") return Value::Own(held == 1);
    return Value::Own(std::move(list));
  }

  const Json& self_;
  const Json* old_self_;
  std::vector<Variable> variables_;
  int steps_ = 0;
};

bool Mentions(const Node& node, absl::string_view name) {
  return (node.kind == Node::Kind::kIdentifier && node.name == name) ||
         std::any_of(node.children.begin(), node.children.end(),
                     [&](const auto& child) { return Mentions(*child, name); });
}

}  // namespace
}  // namespace cel

absl::StatusOr<Rule> Rule::Compile(absl::string_view source) {
  ASHLAR_ASSIGN_OR_RETURN(std::unique_ptr<cel::Node> root, cel::Parse(source));
  Rule rule;
  rule.uses_old_self_ = cel::Mentions(*root, "oldSelf");
  rule.root_ = std::move(root);
  return rule;
}

absl::StatusOr<bool> Rule::Holds(const Json& self, const Json* old_self) const {
  ASHLAR_ASSIGN_OR_RETURN(const cel::Value value, cel::Evaluator(self, old_self).Evaluate(*root_));
  if (!value.json().is_boolean()) return absl::InvalidArgumentError("the rule is not a boolean");
  return value.json().get<bool>();
}

}  // namespace ashlar::schema
