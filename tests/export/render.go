// Renders a template of Ollama's as its template package does: the data, by its names and types, that
// Execute hands over for a chat. Standard input: {"template": …, "chats": [{"messages": …}]}.
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type Message struct{ Role, Content, Thinking string }

type Chat struct {
	Messages   []*Message
	Think      bool
	IsThinkSet bool
}

type Task struct {
	Template string
	Chats    []Chat
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var task Task
	check(json.NewDecoder(os.Stdin).Decode(&task))
	parsed, err := template.New("").Option("missingkey=zero").Parse(task.Template)
	check(err)
	rendered := []string{}
	for _, chat := range task.Chats {
		var text strings.Builder
		check(parsed.Execute(&text, map[string]any{
			"Messages":   chat.Messages,
			"System":     "",
			"Response":   "",
			"Think":      chat.Think,
			"IsThinkSet": chat.IsThinkSet,
		}))
		rendered = append(rendered, text.String())
	}
	check(json.NewEncoder(os.Stdout).Encode(rendered))
}
