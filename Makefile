# Latchkey: every task is a target. `make help` lists them; `make` alone builds the release.
#
# A build is a variant, and lives in build/<variant>/:
#   release   what is installed and measured        debug     with assertions, easy to step through
#   asan      AddressSanitizer and UBSan, fuzzers   tsan      ThreadSanitizer
#   coverage  counts lines
# LOCK=pthread builds any of them with pthread_rwlock_t in place of our own lock, in build/<variant>-pthread/.
# PLANT=NAME builds it with one of the bugs that the tests must find (tests/planted names them), in build/<variant>-plant-<name>/.
# New files in the folders below need no change here.

VARIANT = release
LOCK = own
PLANT =
ARGS =
FUZZ_SECONDS = 30
PREFIX = /usr/local
SYSCONFDIR = $(PREFIX)/etc
UNITDIR = $(PREFIX)/lib/systemd/system

CC = gcc
CLANG = clang-19
TIDY = clang-tidy-19
FORMAT = clang-format-19
JOBS := $(shell nproc)

# ---------------------------------------------------------------- what there is

RESP := $(wildcard resp/*.c)
SHARD := $(wildcard shard/*.c shard/*/*.c)
SERVER := $(wildcard server/*/*.c server/*/*/*.c)
SUPPORT := $(wildcard tests/*.c)
STORM := $(wildcard tests/storm/*.c)
UNITS := $(wildcard tests/unit/*_test.c)
INTEGRATIONS := $(wildcard tests/integration/*_test.c)
STRESSES := $(wildcard tests/stress/*_test.c)
FUZZERS := $(wildcard tests/fuzz/*_fuzz.c)
OOM := $(wildcard tests/oom/*.c)
BENCHES := $(wildcard bench/*.c)
POLICIES := $(wildcard bench/policies/*.c)
WORKLOADS := $(wildcard bench/workloads/*.c)
OWNER := $(wildcard bench/owner/*.c)
LOOP := $(wildcard server/net/loop*.c) server/worker/mailbox.c
PRODUCT := $(RESP) $(SHARD) $(SERVER) server/main.c
C_FILES := $(PRODUCT) $(SUPPORT) $(STORM) $(UNITS) $(INTEGRATIONS) $(STRESSES) $(FUZZERS) $(OOM) $(BENCHES) $(POLICIES) $(WORKLOADS) $(OWNER)
H_FILES := $(wildcard resp/*.h shard/*.h shard/*/*.h server/*/*.h server/*/*/*.h tests/*.h tests/*/*.h bench/*.h bench/*/*.h)

RUN_PACKAGES = gcc make libc6-dev libjemalloc-dev libxxhash-dev libssl-dev liburing-dev liblua5.1-0-dev lua-cjson-dev lua-bitop-dev
TEST_PACKAGES = $(RUN_PACKAGES) clang-19 clang-tidy-19 clang-format-19 lld-19 libclang-rt-19-dev llvm-19 cppcheck gcovr \
	libcmocka-dev libhiredis-dev openssl spin valgrind redis-server redis-tools python3 python3-redis ruby-redis libredis-perl \
	python3-celery python3-rq ruby-sidekiq python3-channels-redis php-cli php-redis
BENCH_PACKAGES = $(RUN_PACKAGES) redis-server redis-tools memcached python3 gnuplot-nox

# ---------------------------------------------------------------- how it is compiled

# What a row of a table leaves out is zero, and meant so.
WARNINGS = -Wall -Wextra -Wconversion -Wno-missing-field-initializers
# The server names a header by its path from here; the library, which others build in as well, from where it stands.
LANGUAGE = -std=c11 -D_GNU_SOURCE -I.
COMMON = $(LANGUAGE) $(DEBUG_INFO) $(WARNINGS) -Werror -MMD -MP

# What the processor offers against jumps to where nobody should jump.
BRANCHES_x86_64 = -fcf-protection
BRANCHES_aarch64 = -mbranch-protection=standard
HARDENING = -fPIE -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 $(BRANCHES_$(shell uname -m))

# Objects are fat, so that the library serves who links without LTO, and the tests link quickly.
COMPILE_release = $(CC) -O3 -flto=auto -ffat-lto-objects -DNDEBUG -DUSE_JEMALLOC $(HARDENING)
LINK_release = -pie -Wl,-z,relro,-z,now
LIBS_release = -ljemalloc
COMPILE_debug = $(CC) -O1 -DDEBUG_ASSERTIONS -DUSE_JEMALLOC
LIBS_debug = -ljemalloc
# What a sanitizer shows are lines of functions, so that is all that it is told of them, and the linker is a quick one.
SANITIZED = $(CLANG) -O1 -fno-omit-frame-pointer -DDEBUG_ASSERTIONS -DUSE_SANITIZER
DEBUG_INFO_asan = -g1
DEBUG_INFO_tsan = -g1
LINK_asan = -fuse-ld=lld
LINK_tsan = -fuse-ld=lld
# The locks' rules: guard.h has the words, clang checks them wherever this is built. It also tells libFuzzer where it has been.
COMPILE_asan = $(SANITIZED) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -Wthread-safety -Wthread-safety-beta
COMPILE_tsan = $(SANITIZED) -fsanitize=thread
COMPILE_coverage = $(CC) -O0 -DDEBUG_ASSERTIONS -DUSE_JEMALLOC -DIS_SLOW_BUILD=1 --coverage -fprofile-update=atomic
LIBS_coverage = -ljemalloc

ifeq ($(COMPILE_$(VARIANT)),)
$(error VARIANT=$(VARIANT): there are release, debug, asan, tsan and coverage)
endif
ifeq ($(LOCK),own)
BUILD = build/$(VARIANT)
else ifeq ($(LOCK),pthread)
BUILD = build/$(VARIANT)-pthread
COMMON += -DUSE_PTHREAD_RWLOCK
else
$(error LOCK=$(LOCK): there are own and pthread)
endif
ifneq ($(PLANT),)
BUILD := $(BUILD)-plant-$(PLANT)
COMMON += -DPLANT_$(shell echo $(PLANT) | tr a-z A-Z)
endif

DEBUG_INFO = $(or $(DEBUG_INFO_$(VARIANT)),-g)
COMPILE = $(COMPILE_$(VARIANT)) $(COMMON)
LINK = $(COMPILE_$(VARIANT)) $(DEBUG_INFO) $(LINK_$(VARIANT))
# Lua is linked in, so that a server runs where only its binary is.
LIBS = $(LIBS_$(VARIANT)) -luring -lssl -lcrypto -l:liblua5.1-cjson.a -l:liblua5.1-bitop.a -l:liblua5.1.a -lm -lpthread

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
programs = $(patsubst %.c,$(BUILD)/%,$(1))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

# ---------------------------------------------------------------- what is asked for most

help: ## list the targets
	@echo 'make [TARGET] [NAME=value ...]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile
	@echo 'Builds: VARIANT=release|debug|asan|tsan|coverage, LOCK=own|pthread. Below build/.'

all: $(BUILD)/latchkey $(BUILD)/liblatchkey.a ## build server and library, as VARIANT and LOCK say (release)

deps: ## install what the tests need and is missing, from Debian and npm
	@tests/deps $(TEST_PACKAGES)
	@tests/deps --node

run: ## install what the build needs, build, and serve; ARGS="--port 7000" passes options
	@tests/deps $(RUN_PACKAGES)
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@exec $(BUILD)/latchkey $(ARGS)

test: deps ## install what is missing, build, and run every test; closes with 'N passed, N failed'
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run all

check: ## the quick part of the tests: unit and integration tests of the release
	@tests/run unit integration

# ---------------------------------------------------------------- building

# A changed Makefile may mean changed flags.
$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(COMPILE) -c $< -o $@

# Asserts in tests are meant, whatever the variant.
$(BUILD)/tests/%.o: COMPILE += -UNDEBUG -fno-lto

# In one piece, so that what a request goes through may be inlined from wherever it stands.
ifeq ($(VARIANT),release)
$(BUILD)/latchkey: LINK += -flto-partition=one
endif
$(BUILD)/latchkey: $(call objects,server/main.c $(SERVER) $(RESP) $(SHARD))
	$(LINK) $^ -o $@ $(LIBS)

$(BUILD)/liblatchkey.a: $(call objects,$(SHARD))
	rm -f $@
	ar rcs $@ $^

# All that a test may call, of which the linker takes what it does call. Thin: it names the objects. What is covered are resp/ and shard/.
$(BUILD)/tests/parts.a: $(call objects,$(SUPPORT) $(if $(filter coverage,$(VARIANT)),,$(SERVER)) $(RESP) $(SHARD))
	rm -f $@
	ar rcsT $@ $^

$(BUILD)/tests/%_test: $(BUILD)/tests/%_test.o $(BUILD)/tests/parts.a
	$(LINK) -fno-lto $(filter %.o,$^) $(filter %.a,$^) -o $@ -lcmocka -lhiredis $(LIBS)

# These know the server from outside, and so have nothing of it in them.
$(BUILD)/tests/integration/%_test: $(BUILD)/tests/integration/%_test.o $(call objects,$(SUPPORT))
	$(LINK) -fno-lto $^ -o $@ -lcmocka -lhiredis $(LIBS)

# Their allocations fail when they say so.
$(BUILD)/tests/unit/shortage_test: LINK += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(BUILD)/tests/oom/%_test: LINK += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=mallocx,--wrap=luaopen_cjson
$(call programs,$(filter %_test.c,$(OOM))): $(call objects,$(filter-out %_test.c,$(OOM)))
# In this one another worker comes between.
$(BUILD)/tests/unit/script_texts_test: LINK += -Wl,--wrap=shebang_read_script
# And this one sees when the allocator is asked.
$(BUILD)/tests/unit/maxmemory_test: LINK += -Wl,--wrap=process_memory_limited
$(BUILD)/tests/stress/watchdog_test: $(call objects,$(STORM))
$(BUILD)/tests/unit/owner_test: $(call objects,$(OWNER))

$(BUILD)/tests/fuzz/%_fuzz: $(BUILD)/tests/fuzz/%_fuzz.o $(call objects,$(SERVER) $(RESP) $(SHARD))
	$(LINK) -fsanitize=fuzzer $^ -o $@ $(LIBS)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(call objects,$(LOOP) $(RESP) $(SHARD))
	$(LINK) $^ -o $@ $(LIBS)

$(BUILD)/bench/engine: $(call objects,$(OWNER))
$(BUILD)/bench/scripting: $(filter-out $(call objects,$(LOOP)),$(call objects,$(SERVER)))
$(BUILD)/bench/simulate: $(call objects,$(POLICIES) $(WORKLOADS))
$(BUILD)/bench/replay: $(call objects,$(WORKLOADS))

units: $(call programs,$(UNITS))
integrations: $(call programs,$(INTEGRATIONS))
stresses: $(BUILD)/latchkey $(call programs,$(STRESSES))
benches: $(call programs,$(BENCHES))
fuzzers:
	@$(MAKE) --no-print-directory VARIANT=asan $(patsubst %.c,build/asan/%,$(FUZZERS))

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---------------------------------------------------------------- further tests

asan: ## unit, integration, stress and differential tests under AddressSanitizer and UBSan
	@tests/run asan

tsan: ## the same under ThreadSanitizer
	@tests/run tsan

fuzz: ## fuzz the parsers, the packed forms and all commands, FUZZ_SECONDS (30) each
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run fuzz

oom: ## let every allocation of every command, script and transaction fail, one after the other; CASE=HSET, WAY=EVAL: of those that have it in them
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=debug $(patsubst %.c,build/debug/%,$(filter %_test.c,$(OOM)))
	@build/debug/tests/oom/oom_test
	@build/debug/tests/oom/requests_test

coverage: ## print which lines of resp/ and shard/ the unit tests reach; fails under 90 %
	@tests/run coverage

planted: ## build with one planted bug after the other, and see that the stress tests find each
	@tests/planted

helgrind: ## the engine's stress under Helgrind and DRD, with pthread_rwlock
	@tests/helgrind/run

analyze: analyze-gcc analyze-clang analyze-tidy analyze-cppcheck analyze-format analyze-rooms analyze-model ## compilers' warnings, thread safety, clang-tidy, cppcheck, format, rooms, spin

# gcc says more when it optimizes; what it built is used by the tests. Benchmarks are compiled, but not linked, which takes minutes.
analyze-gcc:
	@$(MAKE) --no-print-directory VARIANT=release LOCK=own all units integrations stresses \
		$(patsubst %.c,build/release/%.o,$(BENCHES) $(POLICIES) $(WORKLOADS) $(OWNER))

# Clang's warnings, and the locks' rules: what the tests use of it is built anyway.
analyze-clang:
	@$(MAKE) --no-print-directory VARIANT=asan LOCK=own $(patsubst %.c,build/asan/%.o,$(C_FILES))

build/analyze/%.clang: %.c $(H_FILES) Makefile
	@mkdir -p $(@D)
	$(CLANG) $(LANGUAGE) -O1 $(WARNINGS) -Wthread-safety -Wthread-safety-beta -Werror -fsyntax-only $<
	@touch $@

# .clang-tidy has the checks. Its standard error counts what is hidden in system headers, and is shown only if something is wrong. It is given
# many files at a time, since to begin takes it as long as most files do.
CALL_TIDY = xargs -n 12 -P $(JOBS) sh -c 'echo $(TIDY) "$$@"; $(TIDY) --quiet "$$@" -- $(LANGUAGE) 2>$@.$$$$; status=$$?; \
	[ $$status = 0 ] || cat $@.$$$$; rm $@.$$$$; exit $$status' -

analyze-tidy: build/analyze/all.tidy

build/analyze/all.tidy: $(PRODUCT) $(H_FILES) .clang-tidy Makefile
	@mkdir -p $(@D)
	@echo $(if $(filter-out %.c,$?),$(PRODUCT),$?) | $(CALL_TIDY)
	@touch $@

build/analyze/%.tidy: %.c $(H_FILES) .clang-tidy Makefile
	@mkdir -p $(@D)
	@echo $< | $(CALL_TIDY)
	@touch $@

# It takes int64_t for something that %lld can't read, hence the one exception.
analyze-cppcheck:
	cppcheck -j$(JOBS) --std=c11 --platform=unix64 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --quiet \
		-I. --suppress=missingIncludeSystem --suppress=invalidScanfArgType_int -D__x86_64__ resp shard server

# The formatter doesn't wrap comments, so their width is looked at.
analyze-format:
	@$(FORMAT) --dry-run -Werror $(C_FILES) $(H_FILES)
	@awk 'length($$0) > 110 { print FILENAME ":" FNR ": longer than 110 columns"; wide = 1 } END { exit wide }' $(C_FILES) $(H_FILES)

# Rooms stand in the order of docs/architecture.md, and use those below them only.
analyze-rooms: $(call objects,$(PRODUCT))
	@tests/rooms $(BUILD)

# The lock with its parking lot, and the gate, as models: every order of steps is tried.
analyze-model:
	@tests/model/check

# ---------------------------------------------------------------- the rest

bench: ## install what the comparisons need, and build the benchmarks into build/release/bench/
	@tests/deps $(BENCH_PACKAGES)
	@$(MAKE) --no-print-directory -j$(JOBS) all benches
	@ls $(call programs,$(BENCHES)) bench/compare bench/memory bench/soak bench/complexity bench/missratio

# Headers: what latchkey.h includes, and no more. A configuration that is already there is somebody's, and stays.
install: all ## install server, library, headers, configuration and systemd unit; PREFIX, SYSCONFDIR, UNITDIR, DESTDIR
	install -D -m 755 $(BUILD)/latchkey $(DESTDIR)$(PREFIX)/bin/latchkey
	install -D -m 644 $(BUILD)/liblatchkey.a $(DESTDIR)$(PREFIX)/lib/liblatchkey.a
	for header in $(patsubst shard/%,%,$(filter shard/%.h,$(foreach h,$(shell $(CC) $(LANGUAGE) -MM shard/latchkey.h),$(patsubst $(CURDIR)/%,%,$(abspath $(h)))))); do \
		install -D -m 644 shard/$$header $(DESTDIR)$(PREFIX)/include/latchkey/$$header || exit 1; done
	test -e $(DESTDIR)$(SYSCONFDIR)/latchkey/latchkey.conf || \
		install -D -m 644 latchkey.conf $(DESTDIR)$(SYSCONFDIR)/latchkey/latchkey.conf
	install -d $(DESTDIR)$(UNITDIR)
	sed -e 's,@BINARY@,$(PREFIX)/bin/latchkey,' -e 's,@CONFIGURATION@,$(SYSCONFDIR)/latchkey/latchkey.conf,' \
		deploy/latchkey.service >$(DESTDIR)$(UNITDIR)/latchkey.service
	chmod 644 $(DESTDIR)$(UNITDIR)/latchkey.service

format: ## format every C file and header; comments are wrapped by hand
	$(FORMAT) -i $(C_FILES) $(H_FILES)

clean: ## remove everything that was built
	rm -rf build

.PHONY: help all deps run test check units integrations stresses benches fuzzers asan tsan fuzz oom coverage analyze analyze-gcc analyze-clang \
	analyze-tidy analyze-cppcheck analyze-format analyze-rooms analyze-model planted helgrind bench install format clean
