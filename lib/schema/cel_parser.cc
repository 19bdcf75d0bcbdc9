#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "lib/base/status_macros.h"
#include "lib/schema/cel_ast.h"
#include "lib/schema/cel_functions.h"
#include "lib/schema/cel_lexer.h"

namespace ashlar::schema::cel {
namespace {

using NodePtr = std::unique_ptr<Node>;
using NodeOr = absl::StatusOr<NodePtr>;

constexpr int kMaxDepth = 60;
constexpr int kMaxTreeDepth = 250;

NodePtr Make(Node::Kind kind, std::string name) {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  node->name = std::move(name);
  return node;
}

// A property whose name is no identifier of CEL is written in another way:
// https://kubernetes.io/docs/reference/using-api/cel/#escaping
std::string PropertyName(absl::string_view written) {
  absl::string_view word = written;
  if (absl::ConsumePrefix(&word, "__") && absl::ConsumeSuffix(&word, "__")) {
    for (absl::string_view reserved :
         {"true",     "false",   "null",      "in",       "as",  "break",  "const",
          "continue", "else",    "for",       "function", "if",  "import", "let",
          "loop",     "package", "namespace", "return",   "var", "void",   "while"}) {
      if (word == reserved) return std::string(reserved);
    }
  }
  return absl::StrReplaceAll(
      written,
      {{"__underscores__", "__"}, {"__dot__", "."}, {"__dash__", "-"}, {"__slash__", "/"}});
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  NodeOr Run() {
    ASHLAR_ASSIGN_OR_RETURN(NodePtr node, Expression());
    if (Now().kind != Token::Kind::kEnd) return Unexpected("the end of the rule");
    return node;
  }

 private:
  const Token& Now() const { return tokens_[at_]; }

  absl::Status Refuse(absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat("at byte ", Now().position, ": ", why));
  }

  absl::Status Unexpected(absl::string_view wanted) const {
    const Token& token = Now();
    const std::string found = token.kind == Token::Kind::kEnd ? "the end"
                              : token.kind == Token::Kind::kLiteral
                                  ? DumpJson(token.literal)
                                  : absl::StrCat("\"", token.text, "\"");
    return Refuse(absl::StrCat("expected ", wanted, ", found ", found));
  }

  bool Is(absl::string_view symbol) const {
    return Now().kind == Token::Kind::kSymbol && Now().text == symbol;
  }

  bool Take(absl::string_view symbol) {
    if (!Is(symbol)) return false;
    ++at_;
    return true;
  }

  absl::Status Want(absl::string_view symbol) {
    return Take(symbol) ? absl::OkStatus() : Unexpected(absl::StrCat("\"", symbol, "\""));
  }

  // The operator at this place, if it is one of `among`.
  std::string TakeOperator(std::initializer_list<absl::string_view> among) {
    const bool word = Now().kind == Token::Kind::kIdentifier && Now().text == "in";
    if (Now().kind != Token::Kind::kSymbol && !word) return "";
    for (absl::string_view symbol : among) {
      if (Now().text == symbol) {
        ++at_;
        return std::string(symbol);
      }
    }
    return "";
  }

  NodeOr Expression() {
    if (depth_ >= kMaxDepth) return Refuse("the rule is nested too deeply");
    ++depth_;
    NodeOr node = Ternary();
    --depth_;
    return node;
  }

  NodeOr Ternary() {
    ASHLAR_ASSIGN_OR_RETURN(NodePtr condition, Binary(0));
    if (!Take("?")) return condition;
    ASHLAR_ASSIGN_OR_RETURN(NodePtr yes, Expression());
    ASHLAR_RETURN_IF_ERROR(Want(":"));
    ASHLAR_ASSIGN_OR_RETURN(NodePtr no, Expression());
    NodePtr node = Make(Node::Kind::kOperator, "?");
    node->children.push_back(std::move(condition));
    node->children.push_back(std::move(yes));
    node->children.push_back(std::move(no));
    return node;
  }

  // Left-associative operators, weakest first.
  NodeOr Binary(int level) {
    if (level == 5) return Unary();
    ASHLAR_ASSIGN_OR_RETURN(NodePtr left, Binary(level + 1));
    for (;;) {
      std::string symbol = level == 0   ? TakeOperator({"||"})
                           : level == 1 ? TakeOperator({"&&"})
                           : level == 2 ? TakeOperator({"==", "!=", "<", "<=", ">", ">=", "in"})
                           : level == 3 ? TakeOperator({"+", "-"})
                                        : TakeOperator({"*", "/", "%"});
      if (symbol.empty()) return left;
      ASHLAR_ASSIGN_OR_RETURN(NodePtr right, Binary(level + 1));
      NodePtr node = Make(Node::Kind::kOperator, std::move(symbol));
      node->children.push_back(std::move(left));
      node->children.push_back(std::move(right));
      left = std::move(node);
    }
  }

  NodeOr Unary() {
    const bool negates = Is("!") || Is("-");
    if (!negates) return Member();
    const std::string symbol = Now().text;
    ++at_;
    if (depth_ >= kMaxDepth) return Refuse("the rule is nested too deeply");
    ++depth_;
    NodeOr operand = Unary();
    --depth_;
    if (!operand.ok()) return operand;
    NodePtr node = Make(Node::Kind::kOperator, symbol);
    node->children.push_back(*std::move(operand));
    return node;
  }

  NodeOr Member() {
    ASHLAR_ASSIGN_OR_RETURN(NodePtr node, Primary());
    for (;;) {
      if (Take(".")) {
        if (Is("?")) return Refuse("optional values are not supported");
        if (Now().kind != Token::Kind::kIdentifier) return Unexpected("the name of a member");
        const std::string name = Now().text;
        ++at_;
        if (Take("(")) {
          ASHLAR_ASSIGN_OR_RETURN(node, Method(std::move(node), name));
          continue;
        }
        NodePtr select = Make(Node::Kind::kSelect, PropertyName(name));
        select->children.push_back(std::move(node));
        node = std::move(select);
      } else if (Take("[")) {
        if (Is("?")) return Refuse("optional values are not supported");
        NodePtr index = Make(Node::Kind::kIndex, "");
        index->children.push_back(std::move(node));
        ASHLAR_ASSIGN_OR_RETURN(NodePtr key, Expression());
        index->children.push_back(std::move(key));
        ASHLAR_RETURN_IF_ERROR(Want("]"));
        node = std::move(index);
      } else {
        return node;
      }
    }
  }

  absl::Status Arguments(absl::string_view end, Node& node) {
    if (Take(end)) return absl::OkStatus();
    do {
      if (Is(end)) break;  // a comma before the end
      ASHLAR_ASSIGN_OR_RETURN(NodePtr argument, Expression());
      node.children.push_back(std::move(argument));
    } while (Take(","));
    return Want(end);
  }

  NodeOr Method(NodePtr receiver, const std::string& name) {
    if (IsMacro(name)) return Macro(std::move(receiver), name);
    NodePtr node = Make(Node::Kind::kMethod, name);
    node->children.push_back(std::move(receiver));
    ASHLAR_RETURN_IF_ERROR(Arguments(")", *node));
    if (!IsMethod(name, node->children.size() - 1))
      return Refuse(absl::StrCat("the method ", name, " with ", node->children.size() - 1,
                                 " arguments is not supported"));
    return node;
  }

  NodeOr Macro(NodePtr receiver, const std::string& name) {
    NodePtr node = Make(Node::Kind::kMacro, name);
    node->children.push_back(std::move(receiver));
    if (Now().kind != Token::Kind::kIdentifier) return Unexpected("the name of a variable");
    node->variable = Now().text;
    ++at_;
    ASHLAR_RETURN_IF_ERROR(Want(","));
    variables_.push_back(node->variable);
    NodeOr body = Expression();
    variables_.pop_back();
    if (!body.ok()) return body;
    node->children.push_back(*std::move(body));
    ASHLAR_RETURN_IF_ERROR(Want(")"));
    return node;
  }

  NodeOr Primary() {
    if (Take("(")) {
      ASHLAR_ASSIGN_OR_RETURN(NodePtr node, Expression());
      ASHLAR_RETURN_IF_ERROR(Want(")"));
      return node;
    }
    if (Take("[")) {
      NodePtr node = Make(Node::Kind::kList, "");
      ASHLAR_RETURN_IF_ERROR(Arguments("]", *node));
      return node;
    }
    if (Take("{")) return MapLiteral();
    if (Now().kind == Token::Kind::kLiteral) {
      NodePtr node = Make(Node::Kind::kLiteral, "");
      node->literal = Now().literal;
      ++at_;
      return node;
    }
    if (Now().kind == Token::Kind::kIdentifier) return Name();
    return Unexpected("a value");
  }

  NodeOr MapLiteral() {
    NodePtr node = Make(Node::Kind::kMap, "");
    while (!Take("}")) {
      ASHLAR_ASSIGN_OR_RETURN(NodePtr key, Expression());
      ASHLAR_RETURN_IF_ERROR(Want(":"));
      ASHLAR_ASSIGN_OR_RETURN(NodePtr value, Expression());
      node->children.push_back(std::move(key));
      node->children.push_back(std::move(value));
      if (!Is("}")) ASHLAR_RETURN_IF_ERROR(Want(","));
    }
    return node;
  }

  NodeOr Name() {
    const std::string name = Now().text;
    if (name == "true" || name == "false" || name == "null") {
      NodePtr node = Make(Node::Kind::kLiteral, "");
      node->literal = name == "null" ? Json(nullptr) : Json(name == "true");
      ++at_;
      return node;
    }
    const bool known = name == "self" || name == "oldSelf" ||
                       std::find(variables_.begin(), variables_.end(), name) != variables_.end();
    const Token& next = tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_];
    if (next.kind == Token::Kind::kSymbol && next.text == "(") return Call(name);
    if (!known) return Refuse(absl::StrCat("\"", name, "\" is not defined; self and oldSelf are"));
    ++at_;
    return Make(Node::Kind::kIdentifier, name);
  }

  NodeOr Call(const std::string& name) {
    at_ += 2;
    NodePtr node = Make(Node::Kind::kCall, name);
    ASHLAR_RETURN_IF_ERROR(Arguments(")", *node));
    if (name == "has") {
      if (node->children.size() != 1 || node->children[0]->kind != Node::Kind::kSelect)
        return Refuse("has() takes a member, as in has(self.field)");
      NodePtr has = std::move(node->children[0]);
      has->kind = Node::Kind::kHas;
      return has;
    }
    if (!IsFunction(name, node->children.size()))
      return Refuse(absl::StrCat("the function ", name, " with ", node->children.size(),
                                 " arguments is not supported"));
    return node;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  std::vector<std::string> variables_;
};

int Depth(const Node& node) {
  int deepest = 0;
  for (const auto& child : node.children) deepest = std::max(deepest, Depth(*child));
  return deepest + 1;
}

}  // namespace

NodeOr Parse(absl::string_view source) {
  ASHLAR_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  ASHLAR_ASSIGN_OR_RETURN(NodePtr node, Parser(std::move(tokens)).Run());
  // The evaluator walks the tree by recursion.
  if (Depth(*node) > kMaxTreeDepth)
    return absl::InvalidArgumentError("the rule is nested too deeply");
  return node;
}

}  // namespace ashlar::schema::cel
