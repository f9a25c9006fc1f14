// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

namespace thermoe::bench {

/// Data of several rows: made when the first of them is prepared, gone with the last.
template <class T>
class SharedData {
 public:
  template <class Make>
  std::shared_ptr<T> get(Make make) const {
    auto data = held_->lock();
    if (!data) *held_ = data = std::make_shared<T>(make());
    return data;
  }

 private:
  std::shared_ptr<std::weak_ptr<T>> held_ = std::make_shared<std::weak_ptr<T>>();
};

}  // namespace thermoe::bench
