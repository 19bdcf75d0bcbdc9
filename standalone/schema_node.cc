#include "standalone/schema_node.h"

#include "absl/strings/str_cat.h"

namespace ashlar::standalone {

const Json* SchemaNode::Find(const char* key) const {
  if (schema_ == nullptr || !schema_->is_object()) return nullptr;
  auto it = schema_->find(key);
  return it == schema_->end() ? nullptr : &*it;
}

SchemaNode SchemaNode::Property(const std::string& key) const {
  if (const Json* properties = Find("properties")) {
    if (auto it = properties->find(key); it != properties->end()) return SchemaNode(&*it);
  }
  const Json* additional = Find("additionalProperties");
  return SchemaNode(additional != nullptr && additional->is_object() ? additional : nullptr);
}

bool SchemaNode::Named(const std::string& key) const {
  const Json* properties = Find("properties");
  return properties != nullptr && properties->contains(key);
}

SchemaNode SchemaNode::Item() const { return SchemaNode(Find("items")); }

bool SchemaNode::AtomicMap() const {
  const Json* type = Find("x-kubernetes-map-type");
  return type != nullptr && *type == Json("atomic");
}

bool SchemaNode::AtomicList() const {
  const Json* type = Find("x-kubernetes-list-type");
  return type == nullptr || *type == Json("atomic");
}

std::vector<std::string> SchemaNode::MapKeys() const {
  std::vector<std::string> names;
  const Json* type = Find("x-kubernetes-list-type");
  const Json* keys = Find("x-kubernetes-list-map-keys");
  if (type == nullptr || *type != Json("map") || keys == nullptr) return names;
  for (const Json& key : *keys) {
    if (key.is_string()) names.push_back(key.get<std::string>());
  }
  return names;
}

std::string SchemaNode::ItemEdge(const Json& item) const {
  const std::vector<std::string> names = MapKeys();
  if (names.empty() || !item.is_object()) return "v:" + DumpJson(item);
  Json keys = Json::object();
  for (const std::string& name : names) {
    if (auto it = item.find(name); it != item.end()) {
      keys[name] = *it;
    } else if (const Json* otherwise = Item().Property(name).Find("default")) {
      keys[name] = *otherwise;
    }
  }
  return "k:" + DumpJson(keys);
}

absl::Status SchemaNode::CheckKeys(const Json& item) const {
  for (const std::string& name : MapKeys()) {
    const bool has = item.is_object() && item.contains(name);
    if (!has && Item().Property(name).Find("default") == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("an item lacks its key \"", name, "\""));
    }
  }
  return absl::OkStatus();
}

std::string SchemaNode::PatchMergeKey() const {
  const Json* key = Find("x-kubernetes-patch-merge-key");
  if (key != nullptr && key->is_string()) return key->get<std::string>();
  const Json* strategy = Find("x-kubernetes-patch-strategy");
  return strategy != nullptr && *strategy == Json("merge") ? "$value" : "";
}

}  // namespace ashlar::standalone
