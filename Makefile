# The short way to run, test and measure. Plain POSIX make: GNU make and BSD make both read it.
.POSIX:

PYTHON = python3
VENV = .venv
DOCROOT = mogdata
HTTP = 127.0.0.1:7500
MGMT = 127.0.0.1:7501
ADMIN = 127.0.0.1:7502
# Handed on: make test ARGS='-k trickle', make bench ARGS=isolation.
ARGS =
# One version, since its number is in the wheels: two builds have to be the same bytes.
HATCHLING = hatchling==1.33.0
CYCLONEDX = cyclonedx-bom==7.5.0
SMOKE = .cache/smoke
TAG =
VERSION = sed -n 's/^__version__ = "\(.*\)"/\1/p' mogstored/__init__.py

FILE = http://$(HTTP)/dev1/0/000/000/0000000001.fid

.PHONY: help run test kqueue free-threaded lint types site dist clean
.PHONY: bench bench-quick bench-budgets

help:
	@echo "make run     a node on $(HTTP), files below ./$(DOCROOT); Ctrl-C stops it"
	@echo "make test    the suite against the installed wheel"
	@echo "make kqueue  the same suite on the kqueue backend, on Linux"
	@echo "make free-threaded  the same suite without the interpreter lock; builds that Python first"
	@echo "make lint    style;  make types  types"
	@echo "make site    the documents as a site, in site/"
	@echo "make bench   requests beside peers; ARGS=--list names all scenarios, ARGS=life runs one"
	@echo "make bench-quick    the guard against getting slower: a minute"
	@echo "make bench-budgets  every budget of the node: goal, figure, verdict; 8 minutes"
	@echo "make probe   what mogpoll relies on in this kernel, into probe.json, beside a kept result"
	@echo "make dist    sdists and wheels of mogpoll and of the node, as an index gets them, in dist/"
	@echo "make smoke   installs those into an empty environment;  make sbom  lists what is in it"
	@echo "make clean   remove what was built, installed and cached here (not ./$(DOCROOT))"
	@echo "PYTHON=...   the interpreter to make $(VENV) with, 3.11 or newer"

run: $(VENV)/.installed
	@mkdir -p $(DOCROOT)/dev1 $(DOCROOT)/dev2
	@echo "In another terminal:"
	@echo "  curl -i -X PUT --data-binary 'hello, mogile' $(FILE)"
	@echo "  curl -i $(FILE)"
	@echo "In a browser: http://$(ADMIN)/"
	@exec $(VENV)/bin/mogstored --docroot $(DOCROOT) \
		--httplisten $(HTTP) --mgmtlisten $(MGMT) --adminlisten $(ADMIN) $(ARGS)

# Set-up speaks, then tox falls silent so that pytest's closing line is the last one.
test: $(VENV)/.tox
	@$(VENV)/bin/tox run -q -e py --notest
	@$(VENV)/bin/tox run -qq -e py --skip-pkg-install -- $(ARGS)

kqueue: $(VENV)/.tox
	@$(VENV)/bin/tox run -q -e kqueue --notest
	@$(VENV)/bin/tox run -qq -e kqueue --skip-pkg-install -- $(ARGS)

# python3.13t has the environment py313t.
free-threaded: $(VENV)/.tox
	@python=`$(VENV)/bin/python -m tests.support.build_python` && \
		name=`basename "$$python" | sed 's/^python3[.]/py3/'` && \
		$(VENV)/bin/tox run -q -e "$$name" --notest && \
		$(VENV)/bin/tox run -qq -e "$$name" --skip-pkg-install -- $(ARGS)

lint types site: $(VENV)/.tox
	@$(VENV)/bin/tox run -q -e $@ -- $(ARGS)

bench: $(VENV)/.installed
	@$(VENV)/bin/python -m bench $(ARGS)

bench-quick: $(VENV)/.installed
	@$(VENV)/bin/python -m bench quick $(ARGS)

bench-budgets: $(VENV)/.installed
	@$(VENV)/bin/python -m bench budgets $(ARGS)

# From the checkout: mogpoll needs nothing, so this runs where nothing can be installed. Answers that
# differ from the kept ones are shown; only those that mogpoll relies on fail.
KEPT = vm/results/linux-epoll.json
probe:
	@$(PYTHON) -m mogpoll --json probe.json
	@$(PYTHON) -m mogpoll compare $(KEPT) probe.json || test $$? = 1

dist: $(VENV)/.hatchling
	@$(VENV)/bin/python packaging/dist.py dist

smoke: $(VENV)/pyvenv.cfg
	@rm -rf $(SMOKE)
	@$(PYTHON) -m venv --without-pip $(SMOKE)
	@$(VENV)/bin/python -m pip --python $(SMOKE)/bin/python install --quiet \
		--disable-pip-version-check --root-user-action=ignore dist/*-`$(VERSION)`-py3-none-any.whl
	@$(VENV)/bin/python -m pip --python $(SMOKE)/bin/python check
	@$(SMOKE)/bin/mogstored --version
	@cd $(SMOKE) && bin/python -m mogpoll --list >/dev/null

sbom: smoke $(VENV)/.cyclonedx
	@$(VENV)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
		--output-file dist/sbom.cdx.json $(SMOKE)/bin/python

version:
	@test "$(TAG)" = "v`$(VERSION)`" || { echo "the tag $(TAG) is not v`$(VERSION)`"; exit 1; }

clean:
	rm -rf $(VENV) .tox .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml
	@echo "installing the node into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--root-user-action=ignore -e .
	@touch $@

$(VENV)/.tox: $(VENV)/pyvenv.cfg tox.ini
	@echo "installing tox into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--root-user-action=ignore 'tox>=4.24'
	@touch $@

$(VENV)/.hatchling: $(VENV)/pyvenv.cfg Makefile
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--root-user-action=ignore '$(HATCHLING)'
	@touch $@

$(VENV)/.cyclonedx: $(VENV)/pyvenv.cfg Makefile
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--root-user-action=ignore '$(CYCLONEDX)'
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys' || { \
		echo "$(PYTHON) does not run: install Python 3.11 or newer, or name one: make PYTHON=..."; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "`$(PYTHON) --version` is too old: 3.11 or newer is needed, name one: make PYTHON=..."; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu:"; \
		echo "  apt-get install python3-venv"; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
