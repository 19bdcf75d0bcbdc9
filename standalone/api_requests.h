// ApiRequests: answers one HTTP request of the API after another: routes, reads options and bodies,
// calls Objects and Watches, encodes answers. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/http/server.h"
#include "standalone/api_path.h"
#include "standalone/encoding.h"
#include "standalone/objects.h"
#include "standalone/watches.h"

namespace ashlar::standalone {

class ApiRequests {
 public:
  // `token`: what a client must send as bearer token for all but /healthz, /readyz, /livez and
  // /version.
  ApiRequests(Objects& objects, Watches& watches, std::string token)
      : objects_(objects), watches_(watches), token_(std::move(token)) {}

  void Handle(const http::Request& request, const std::shared_ptr<http::ResponseWriter>& writer);

 private:
  using WriterPtr = std::shared_ptr<http::ResponseWriter>;
  // What a request is about, once its resource is known.
  struct Call {
    const http::Request& request;
    const ApiPath& path;
    ResourcePtr resource;
    api::ObjectKey key;
    Encoding encoding;
  };

  bool Authorized(const http::Request& request, const std::string& path) const;
  absl::Status Route(const http::Request& request, const WriterPtr& writer);
  absl::StatusOr<http::Response> Document(const http::Request& request, const ApiPath& path) const;
  absl::StatusOr<http::Response> OpenApi(const http::Request& request, const ApiPath& path) const;
  absl::Status Resource(const http::Request& request, const ApiPath& path, const WriterPtr& writer);
  absl::StatusOr<http::Response> OnObject(const Call& call);
  absl::StatusOr<http::Response> OnCollection(const Call& call);
  absl::StatusOr<http::Response> List(const Call& call);
  absl::StatusOr<http::Response> Create(const Call& call);
  absl::StatusOr<http::Response> Update(const Call& call);
  absl::StatusOr<http::Response> Patch(const Call& call);
  absl::StatusOr<http::Response> Delete(const Call& call);
  absl::StatusOr<http::Response> DeleteAll(const Call& call);
  absl::Status Watch(const Call& call, const WriterPtr& writer);
  http::Response Answer(const Call& call, const Written& written, int status) const;

  Objects& objects_;
  Watches& watches_;
  const std::string token_;
};

}  // namespace ashlar::standalone
